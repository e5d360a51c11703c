"""Annotation of forged samples, composed from what was done and measured, never from a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics import prompts
from vlm_forensics.features.clues import CONTRASTS, SUPPORT, Clue
from vlm_forensics.parsing import GRID, Box, ParsedClaim
from vlm_forensics.taxonomy import OPERATION_ARTIFACT, Artifact, Operation

WORDING = "annotation.v2"
MAX_SECONDARY = 2
_MIN_SHARE = 0.05
_MAX_BOXES = 4


def claims(
    operation: Operation, mask: NDArray[np.bool_], clues: Sequence[Clue], rng: np.random.Generator
) -> tuple[ParsedClaim, ...]:
    """The claims that are true of a forged sample.

    The first names the operation's artifact; up to two more name side traces that were measured
    outside the range of real photographs.

    Args:
        operation: what was done.
        mask: `[H, W]` where; all True for a synthetic image.
        clues: measured with this mask.
        rng: chooses the wording.
    """
    wording = prompts.load_wording(WORDING)
    box = None if mask.all() else grid_box(mask)
    artifact = OPERATION_ARTIFACT[operation]
    supporting = [c for c in clues if c.feature in SUPPORT[artifact] and _says_something(c)]
    how = _how(supporting[0], wording) if supporting else ""
    text = str(rng.choice(wording["primary"][artifact])).format(how=how)
    found = [ParsedClaim(artifact, box, text)]
    if box is not None:
        found += [
            ParsedClaim(a, box, _secondary(a, c, wording, rng))
            for a, c in _side(clues, artifact).items()
        ]
    return tuple(found)


def grid_box(mask: NDArray[np.bool_]) -> Box:
    """The box around the mask's True pixels, in hundredths."""
    height, width = mask.shape
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    corners = (xs[0] / width, ys[0] / height, xs[-1] / width, ys[-1] / height)
    x0, y0, x1, y1 = (min(GRID - 1, int(value * GRID)) for value in corners)
    return x0, y0, x1, y1


def mask_boxes(mask: NDArray[np.bool_]) -> list[Box]:
    """Boxes of the mask's connected parts, largest first, specks (below 5 % of the mask) left out.

    In hundredths like `grid_box`, but each covers every pixel of its part.
    """
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    parts = sorted((stats[i] for i in range(1, count)), key=lambda part: -int(part[4]))
    kept = [part for part in parts if part[4] >= _MIN_SHARE * mask.sum()][:_MAX_BOXES]
    return [_covering(part, mask.shape[0], mask.shape[1]) for part in kept]


def _covering(part: NDArray[np.int32], height: int, width: int) -> Box:
    x, y, w, h = (int(value) for value in part[:4])
    last_x, last_y = ((x + w) * GRID - 1) // width, ((y + h) * GRID - 1) // height
    return x * GRID // width, y * GRID // height, last_x, last_y


def _says_something(clue: Clue) -> bool:
    if clue.feature == "copy_move":
        return clue.value > 0
    return clue.unusual


def _how(clue: Clue, wording: Mapping[str, Mapping[str, str]]) -> str:
    if clue.feature not in wording["how"] or not (clue.local or clue.feature == "copy_move"):
        return ""
    said = wording["how"][clue.feature].format(direction=_direction(clue), count=round(clue.value))
    return f", {said}"


def _side(clues: Sequence[Clue], primary: Artifact) -> dict[Artifact, Clue]:
    found: dict[Artifact, Clue] = {}
    for clue in sorted((c for c in clues if c.local and c.unusual), key=lambda c: -abs(c.value)):
        found.setdefault(CONTRASTS[clue.feature][1], clue)
    found.pop(primary, None)
    return dict(list(found.items())[:MAX_SECONDARY])


def _secondary(
    artifact: Artifact, clue: Clue, wording: Mapping[str, Mapping[str, list[str]]],
    rng: np.random.Generator,
) -> str:  # fmt: skip
    return str(rng.choice(wording["secondary"][artifact])).format(direction=_direction(clue))


def _direction(clue: Clue) -> str:
    return "lower" if clue.value < 0 else "higher"
