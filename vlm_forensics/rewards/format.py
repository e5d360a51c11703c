"""Does the text follow the grammar?"""

from __future__ import annotations

from typing import ClassVar

from vlm_forensics.rewards.base import Completion, Facts, Reward

REPAIRED = 0.5


class Format(Reward):
    """Strict grammar of answers (DeepSeek-R1's format reward, over our own parser)."""

    name: ClassVar[str] = "format"
    formula: ClassVar[str] = (
        "1 if the one parser accepts the text as it is, 0.5 if it had to repair it, 0 otherwise."
    )

    def __call__(self, said: Completion, facts: Facts) -> float:  # noqa: ARG002
        """In {0, 0.5, 1}."""
        if said.answer is None:
            return 0.0
        return 1.0 if said.answer.status == "ok" else REPAIRED
