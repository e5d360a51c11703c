"""Does every claim stand on something that was done to this sample or measured on it?"""

from __future__ import annotations

from typing import ClassVar

from vlm_forensics.annotating.checking import MEASURED, box_mask
from vlm_forensics.features.clues import SUPPORT
from vlm_forensics.parsing import ParsedClaim
from vlm_forensics.rewards.base import Completion, Facts, Reward
from vlm_forensics.taxonomy import OPERATION_ARTIFACT, Artifact, Label


class Grounding(Reward):
    """Claims against the sample's operation, measurements and altered area."""

    name: ClassVar[str] = "grounding"
    formula: ClassVar[str] = (
        "Forged: max(0, (grounded - invented) / claims), 0 without claims. A claim is grounded if "
        "it names what was done, or a mismatch that was measured, and its box touches the altered "
        "area. Real: 1 without a claim, else 0. 0 for a text that does not parse. Nothing where "
        "the label is unknown, or neither operation nor measurements of a forged sample are known."
    )

    def __call__(self, said: Completion, facts: Facts) -> float | None:
        """In [0, 1]."""
        if facts.label is None:
            return None
        if facts.label is not Label.REAL and facts.operation is None and facts.unusual is None:
            return None
        if said.answer is None:
            return 0.0
        claims = said.claims
        if facts.label is Label.REAL:
            return float(not claims)
        grounded = sum(_supported(c.artifact, facts) and _placed(c, facts) for c in claims)
        return max(0.0, (2 * grounded - len(claims)) / max(len(claims), 1))


def _supported(artifact: Artifact, facts: Facts) -> bool:
    if facts.operation is not None and artifact not in MEASURED:
        return artifact is OPERATION_ARTIFACT[facts.operation]
    named = facts.operation is not None and artifact is OPERATION_ARTIFACT[facts.operation]
    return named or bool(facts.unusual and facts.unusual & set(SUPPORT[artifact]))


def _placed(claim: ParsedClaim, facts: Facts) -> bool:
    if claim.box is None or facts.mask is None or facts.label is not Label.TAMPERED:
        return True
    return bool((facts.mask & box_mask(claim.box, *facts.mask.shape)).any())
