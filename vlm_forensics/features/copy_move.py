"""Copied areas: what is found again elsewhere in the image, pixel by pixel."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np

from vlm_forensics.features._cloning import Clone, find_clones
from vlm_forensics.features._sampling import MAP_SIDE, number
from vlm_forensics.features.base import Family, Feature, FloatMap, Measurement, Pixels

_BUDGET = 400_000
"""Pixels searched; larger images are scaled down to it."""


class CopyMove(Feature):
    """Pairs of areas of which one is a copy of the other."""

    name: ClassVar[str] = "copy_move"
    title: ClassVar[str] = "Copied areas (copy-move)"
    family: ClassVar[Family] = "cloning"
    detects: ClassVar[str] = (
        "An area pasted elsewhere in the same image, also mirrored, turned or scaled: SIFT "
        "keypoints matched inside the image (Amerini et al., TIFS 2011) and windows found "
        "elsewhere by correlation, kept where the registered pixels agree but for compression."
    )
    look_for: ClassVar[str] = "Two boxes with the same content where the scene has it only once."
    ignore: ClassVar[str] = (
        "Windows, tiles, printed patterns and reflections repeat honestly; look at both places."
    )
    caution: ClassVar[str] = (
        "Smooth areas give nothing to match, so that a copied sky is missed; images above 0.4 MP "
        "are scaled down for it. Which of the two places is the copy it cannot tell."
    )

    def measure(self, image: Pixels) -> Measurement:
        """Matches of the best pair of areas; boxes alternate source and copy (in no known order).

        A match is 64 textured pixels of the searched image that agree with their copy.
        """
        height, width = image.rgb.shape[:2]
        scale = min(1.0, (_BUDGET / (height * width)) ** 0.5)
        small = cv2.resize(image.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        clones = find_clones(np.asarray(small, np.uint8))
        best = clones[0].matches if clones else 0.0
        text = f"{number(best)} matches tie two areas of the image as copies." if clones else (
            f"No copied area was found ({number(best)} matches).")  # fmt: skip
        boxes = tuple(_scaled(box, scale, width, height) for c in clones for box in (c.a, c.b))
        values = {"matches": best, "pairs": float(len(clones))}
        return Measurement(self.name, values, text, _map(clones, small.shape[:2]), boxes=boxes)


def _scaled(
    box: tuple[int, int, int, int], scale: float, width: int, height: int
) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (edge / scale for edge in box)
    return int(x0), int(y0), min(width, int(np.ceil(x1))), min(height, int(np.ceil(y1)))


def _map(clones: list[Clone], shape: tuple[int, int]) -> FloatMap:
    """Matches of the clone each cell belongs to, 0 elsewhere."""
    response = np.zeros(shape, np.float32)
    for clone in reversed(clones):
        response[clone.area] = clone.matches
    height, width = shape
    shrink = max(4, -(-max(height, width) // MAP_SIDE))
    size = max(1, width // shrink), max(1, height // shrink)
    return np.asarray(cv2.resize(response, size, interpolation=cv2.INTER_AREA), np.float32)
