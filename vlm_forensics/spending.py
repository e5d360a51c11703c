"""What a run costs, and where it stops."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from vlm_forensics.endpoint import Usage
from vlm_forensics.errors import SpentError

PER = 1_000_000
"""Tokens that a price is for."""


@dataclass(frozen=True, slots=True)
class Prices:
    """For a million tokens, in any currency."""

    input: float
    output: float

    def of(self, usage: Usage) -> float:
        """The cost of these tokens."""
        return (usage.input * self.input + usage.output * self.output) / PER


class Account:
    """What one run spent; shared by its threads."""

    def __init__(self, prices: Prices | None = None, limit: float | None = None) -> None:
        """Starts at zero.

        Args:
            prices: None when cost is not counted.
            limit: of cost; needs prices.
        """
        if limit is not None and prices is None:
            raise ValueError("a limit of cost needs prices")
        self.prices = prices
        self._limit = limit
        self._lock = threading.Lock()
        self._usage = Usage()
        self._calls = 0

    @property
    def usage(self) -> Usage:
        """Tokens of this run."""
        return self._usage

    @property
    def calls(self) -> int:
        """Answers of this run, unusable ones too."""
        return self._calls

    @property
    def spent(self) -> float | None:
        """Cost of this run; None without prices."""
        return None if self.prices is None else self.prices.of(self._usage)

    def add(self, usage: Usage) -> None:
        """Count one answer."""
        with self._lock:
            self._usage += usage
            self._calls += 1

    def check(self) -> None:
        """Before every call.

        Raises:
            SpentError: no further call may be made.
        """
        if self._limit is not None:
            keep(self._limit, self.spent, self._usage)


def keep(limit: float, spent: float | None, usage: Usage) -> None:
    """Whether a further call may be made.

    Args:
        limit: of cost.
        spent: so far; None where there are no prices.
        usage: tokens of these calls.

    Raises:
        SpentError: cost_limit, cost_unknown.
    """
    if spent is None:
        return
    if usage.uncounted:
        raise SpentError("cost_unknown", "an answer came without a count of its tokens",
                         hint="leave out --max-cost for this endpoint")  # fmt: skip
    if spent >= limit:
        raise SpentError("cost_limit", f"the limit of cost, {limit:g}, is reached",
                         hint="repeat the command to go on with a new limit")  # fmt: skip
