"""Claims of a teacher against what is measured on the picture, and against the true area."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vlm_forensics.features import measure_all
from vlm_forensics.features.base import Measurement, Pixels
from vlm_forensics.features.clues import CONTRASTS, SUPPORT, Clue, clues
from vlm_forensics.features.reference import LEVELS, Reference
from vlm_forensics.parsing import GRID, Box, ParsedClaim
from vlm_forensics.taxonomy import Artifact, Label

MEASURED = frozenset(artifact for _, artifact in CONTRASTS.values())
"""Artifacts that say nothing but that a measurement differs inside and outside."""
_DIRECTED = {Artifact.NOISE_MISMATCH, Artifact.SHARPNESS_MISMATCH}
_LOWER, _HIGHER = re.compile(r"\blower\b", re.I), re.compile(r"\bhigher\b", re.I)
_MIDDLE = LEVELS.index(0.25), LEVELS.index(0.75)


class Support(StrEnum):
    """What the picture says to a claim."""

    SUPPORTED = "supported"
    """A measurement of it lies outside the range of real photographs."""
    UNSUPPORTED = "unsupported"
    """Nothing that was measured speaks for it, nothing against it."""
    CONTRADICTED = "contradicted"
    """The truth or a measurement speaks against it."""


class CheckedClaim(BaseModel):
    """A claim of a teacher with its check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Artifact
    box: Box | None
    text: str
    support: Support
    why: str
    kept: bool = True
    """It is part of the annotation's answer."""

    def claim(self) -> ParsedClaim:
        """Without the check."""
        return ParsedClaim(self.artifact, self.box, self.text)


class Check:
    """One picture, its truth and its measurements."""

    def __init__(
        self, image: Pixels, label: Label, mask: NDArray[np.bool_] | None, reference: Reference
    ) -> None:
        """Takes what is known.

        Args:
            image: the picture.
            label: its true class.
            mask: `[H, W]` the altered area of a tampered picture; None where it is not known.
            reference: quantiles on real photographs.
        """
        self._image, self._label, self._mask, self._reference = image, label, mask, reference
        self._measurements: dict[str, Measurement] = {}

    def claims(self, said: Sequence[ParsedClaim]) -> list[CheckedClaim]:
        """Every claim with its support and the reason for it."""
        found = []
        for claim in said:
            support, why = self._judge(claim)
            found.append(CheckedClaim(artifact=claim.artifact, box=claim.box, text=claim.text,
                                      support=support, why=why))  # fmt: skip
        return found

    def _judge(self, claim: ParsedClaim) -> tuple[Support, str]:
        if self._label is Label.REAL:
            return Support.CONTRADICTED, "a real picture holds no artifact"
        if self._misplaced(claim):
            return Support.CONTRADICTED, "no altered pixel lies in its box"
        area = self._area(claim)
        area = area & ~area.all()  # the whole picture has no outside to compare it with
        heard = clues(self._measured(SUPPORT[claim.artifact]), area, self._reference)
        local = [clue for clue in heard if clue.local]
        # Of a place, only a comparison of that place says something; matches have places too.
        fitting = [c for c in heard if c.local == bool(area.any()) or c.feature == "copy_move"]
        speaking = [clue for clue in fitting if _speaks(clue)]
        if against := self._against(claim, local, speaking):
            return Support.CONTRADICTED, against
        if speaking:
            said = ", ".join(clue.phrase for clue in speaking)
            return Support.SUPPORTED, f"{said}: outside the range of real photographs"
        if not self._reference.images:
            return Support.UNSUPPORTED, "there is no reference to compare measurements with"
        return Support.UNSUPPORTED, "no measurement of it is unusual" if fitting else (
            "nothing that speaks for it can be measured here")  # fmt: skip

    def _against(self, claim: ParsedClaim, local: Sequence[Clue], speaking: Sequence[Clue]) -> str:
        """Which measurement says the opposite; empty for none."""
        if claim.artifact in MEASURED and local and all(map(self._ordinary, local)):
            return f"{_phrases(local)}: as inside real photographs"
        direction = _direction(claim.text)
        if claim.artifact in _DIRECTED and direction and speaking and all(
            clue.value * direction < 0 for clue in speaking
        ):  # fmt: skip
            return f"{_phrases(speaking)}: the other way round"
        return ""

    def _ordinary(self, clue: Clue) -> bool:
        """Within the middle half of real photographs."""
        known = self._reference.quantiles.get(clue.key)
        return known is not None and known[_MIDDLE[0]] <= clue.value <= known[_MIDDLE[1]]

    def _misplaced(self, claim: ParsedClaim) -> bool:
        if self._label is not Label.TAMPERED or self._mask is None or claim.box is None:
            return False
        return not (self._mask & box_mask(claim.box, *self._size)).any()

    def _area(self, claim: ParsedClaim) -> NDArray[np.bool_]:
        """What is compared with the rest: the true area, else the claim's own place."""
        if self._label is Label.TAMPERED and self._mask is not None:
            return self._mask
        if claim.box is not None:
            return box_mask(claim.box, *self._size)
        return np.zeros(self._size, bool)

    @property
    def _size(self) -> tuple[int, int]:
        return self._image.rgb.shape[0], self._image.rgb.shape[1]

    def _measured(self, names: Sequence[str]) -> Mapping[str, Measurement]:
        """These features; each is measured once, and only if a claim needs it."""
        missing = [name for name in names if name not in self._measurements]
        self._measurements |= measure_all(self._image, missing)
        return {name: self._measurements[name] for name in names}


def box_mask(box: Box, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels of a box of the grammar, at least one."""
    x0, y0, x1, y1 = box
    inside = np.zeros((height, width), bool)
    top, left = y0 * height // GRID, x0 * width // GRID
    bottom, right = (y1 + 1) * height // GRID, (x1 + 1) * width // GRID
    inside[top : max(top + 1, bottom), left : max(left + 1, right)] = True
    return inside


def _speaks(clue: Clue) -> bool:
    return clue.value > 0 if clue.feature == "copy_move" else clue.unusual


def _direction(text: str) -> int:
    """1 for a text that says higher, -1 for lower, 0 for neither or both."""
    return bool(_HIGHER.search(text)) - bool(_LOWER.search(text))


def _phrases(found: Sequence[Clue]) -> str:
    return ", ".join(clue.phrase for clue in found)
