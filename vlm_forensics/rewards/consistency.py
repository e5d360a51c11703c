"""Do text, class head and mask say the same?"""

from __future__ import annotations

from typing import ClassVar

from vlm_forensics.rewards.base import Completion, Facts, Reward
from vlm_forensics.taxonomy import Label


class Consistency(Reward):
    """Agreement within one report, whatever the truth."""

    name: ClassVar[str] = "consistency"
    formula: ClassVar[str] = (
        "Share of agreeing pairs among text, class head and mask; a mask agrees with tampered if "
        "it marks something, and with the others if not. 0 for a text that does not parse. "
        "Nothing where there is neither a head's verdict nor a mask."
    )

    def __call__(self, said: Completion, facts: Facts) -> float | None:
        """In [0, 1]."""
        if facts.head is None and facts.predicted_mask is None:
            return None
        if said.answer is None:
            return 0.0
        verdicts = [said.answer.verdict] + ([] if facts.head is None else [facts.head])
        pairs = [verdicts[0] is verdicts[1]] if len(verdicts) == 2 else []
        if facts.predicted_mask is not None:
            marked = bool(facts.predicted_mask.any())
            pairs += [(verdict is Label.TAMPERED) == marked for verdict in verdicts]
        return sum(pairs) / len(pairs)
