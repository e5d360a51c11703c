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
        "it names what was done, or a mismatch that was measured, for the first time, and more of "
        "its box is altered than of the picture. Real: 1 without a claim, else 0. 0 for a text "
        "that does not parse. Nothing where the label is unknown, or neither operation nor "
        "measurements of a forged sample are known."
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
        # Once each: the same claim in other words is no second finding.
        grounded = len({c.artifact for c in claims if _grounded(c, facts)})
        return max(0.0, (2 * grounded - len(claims)) / max(len(claims), 1))


def _grounded(claim: ParsedClaim, facts: Facts) -> bool:
    return _supported(claim.artifact, facts) and _placed(claim, facts)


def _supported(artifact: Artifact, facts: Facts) -> bool:
    if facts.operation is not None and artifact not in MEASURED:
        return artifact is OPERATION_ARTIFACT[facts.operation]
    named = facts.operation is not None and artifact is OPERATION_ARTIFACT[facts.operation]
    return named or bool(facts.unusual and facts.unusual & set(SUPPORT[artifact]))


def _placed(claim: ParsedClaim, facts: Facts) -> bool:
    if facts.mask is None or facts.label is not Label.TAMPERED:
        return True
    if claim.box is None:
        return False
    inside = facts.mask[box_mask(claim.box, *facts.mask.shape)]
    return bool(inside.mean() > facts.mask.mean())
