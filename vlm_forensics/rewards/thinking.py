"""Is as much thought as the sample needs?"""

from __future__ import annotations

from typing import ClassVar

from vlm_forensics.rewards.base import Completion, Facts, Reward

HARD_FROM = 0.5
SHORT = 16
"""Words of a thought that still counts as a quick impression."""


class Thinking(Reward):
    """Hybrid thinking (BusterX++ and Mirage-R1): quick on easy samples, reflective on hard ones."""

    name: ClassVar[str] = "thinking"
    formula: ClassVar[str] = (
        f"Difficulty below {HARD_FROM}: 1 for at most {SHORT} words of thought, beyond that "
        f"{SHORT} / words. Else: different words / {SHORT}, at most 1. Nothing where it is unknown."
    )

    def __call__(self, said: Completion, facts: Facts) -> float | None:
        """In [0, 1]."""
        if facts.difficulty is None:
            return None
        words = said.thought.split()
        if facts.difficulty < HARD_FROM:
            return min(1.0, SHORT / max(len(words), 1))
        # Different ones: a word said sixteen times is no reflection.
        return min(1.0, len(set(words)) / SHORT)
