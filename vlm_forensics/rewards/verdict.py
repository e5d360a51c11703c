"""Is the verdict right?"""

from __future__ import annotations

from typing import ClassVar

from vlm_forensics.rewards.base import Completion, Facts, Reward


class Verdict(Reward):
    """Exact match of three classes; a text that does not parse is wrong."""

    name: ClassVar[str] = "verdict"
    formula: ClassVar[str] = (
        "1 if the parsed verdict is the label, else 0, also for a text that does not parse. "
        "Nothing where the label is unknown."
    )

    def __call__(self, said: Completion, facts: Facts) -> float | None:
        """In {0, 1}."""
        if facts.label is None:
            return None
        return float(said.answer is not None and said.answer.verdict is facts.label)
