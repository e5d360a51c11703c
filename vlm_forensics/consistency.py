"""Do the class head, the text and the mask say the same about one image?

| head        | beside it                               | result   |
|-------------|-----------------------------------------|----------|
| tampered    | an empty mask                           | disagree |
| tampered    | a local or whole mask                   | agree    |
| real        | a large mask of high values             | disagree |
| real        | an empty, small or hesitant mask        | agree    |
| synthetic   | any mask                                | agree    |
| any         | a text that names another verdict       | disagree |
| any         | no text, or a text that does not decide | agree    |

A disagreement lowers the verdict to `inconclusive`; nothing here ever raises or swaps a verdict.
"""

from __future__ import annotations

from typing import Literal

from vlm_forensics.report import Consistency, Notice
from vlm_forensics.taxonomy import Verdict

WHOLE_AREA = 0.9
"""From this share of the image on, a mask shows the whole image."""
LARGE_AREA = 0.05
"""From this share on, a mask of high values contradicts `real`."""
HIGH_SCORE = 0.8
"""Mean mask value from which a mask is not hesitant."""


def check(
    head: Verdict,
    text: Verdict | None,
    mask_area: float,
    *,
    mask_score: float,
    min_area: float,
) -> Consistency:
    """Compare the three parts by the table above.

    Args:
        head: Likeliest class of the head alone, before abstention.
        text: Verdict that the text names; None when it was not asked or not parsed.
        mask_area: Share of the image inside the mask, in [0, 1].
        mask_score: Mean mask value inside the mask, in [0, 1]; 0 when it is empty.
        min_area: Share below which the mask counts as empty.
    """
    mask = _mask_state(mask_area, min_area)
    notes = []
    if head is Verdict.TAMPERED and mask == "empty":
        notes.append("The class head says tampered, the mask shows no altered area.")
    if head is Verdict.REAL and mask_area >= LARGE_AREA and mask_score >= HIGH_SCORE:
        notes.append(f"The class head says real, the mask marks {mask_area:.0%} of the image.")
    if text not in (None, Verdict.INCONCLUSIVE, head):
        notes.append(f"The class head says {head}, the text says {text}.")
    return Consistency(head=head, text=text, mask=mask, agree=not notes, notes=tuple(notes))


def lower(verdict: Verdict, consistency: Consistency) -> tuple[Verdict, tuple[Notice, ...]]:
    """The verdict after the check, and the reasons if a disagreement made it inconclusive."""
    if consistency.agree:
        return verdict, ()
    reasons = tuple(Notice(code="disagreement", message=note) for note in consistency.notes)
    return Verdict.INCONCLUSIVE, reasons


def _mask_state(area: float, min_area: float) -> Literal["empty", "local", "whole"]:
    if area <= 0 or area < min_area:
        return "empty"
    return "whole" if area >= WHOLE_AREA else "local"
