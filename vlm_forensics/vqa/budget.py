"""What the answers of a run cost at the prices given, and where asking stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from vlm_forensics import spending
from vlm_forensics.endpoint import Usage
from vlm_forensics.spending import Prices
from vlm_forensics.vqa.engines import Engine


class Spent(NamedTuple):
    """Tokens, and their cost."""

    usage: Usage = Usage()
    cost: float | None = None
    """None without prices."""

    def since(self, before: Spent) -> Spent:
        """What came on top; an answer without a count leaves its cost unknown."""
        new = Usage(*(now - old for now, old in zip(_three(self), _three(before), strict=True)))
        if self.cost is None or before.cost is None or new.uncounted:
            return Spent(new)
        return Spent(new, self.cost - before.cost)


def _three(spent: Spent) -> tuple[int, int, int]:
    return spent.usage.input, spent.usage.output, spent.usage.uncounted


@dataclass(frozen=True, slots=True)
class Budget:
    """The engines of a run, their prices, and a limit over all of them.

    Several questions may be on their way when the limit is reached; their answers are paid too.
    """

    engines: tuple[Engine, ...] = ()
    """Each once."""
    prices: Mapping[str, Prices] = field(default_factory=dict)
    """By the engine's id; empty when cost is not counted. A model in a folder costs nothing."""
    limit: float | None = None

    @property
    def spent(self) -> Spent:
        """Everything so far."""
        usage = sum((engine.usage for engine in self.engines), Usage())
        if not self.prices:
            return Spent(usage)
        billed = [one for one in self.engines if one.id in self.prices]
        return Spent(usage, sum(self.prices[one.id].of(one.usage) for one in billed))

    def check(self) -> None:
        """Before every question that is not answered yet.

        Raises:
            SpentError: no further question may be asked.
        """
        if self.limit is not None:
            spending.keep(self.limit, self.spent.cost, self.spent.usage)
