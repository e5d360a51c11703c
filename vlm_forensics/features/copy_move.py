"""Copied areas: keypoints that match elsewhere in the image, or blocks repeated exactly."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features._cloning import Clone, dense_clone, keypoint_clones
from vlm_forensics.features._sampling import MAP_SIDE, number
from vlm_forensics.features.base import Family, Feature, FloatMap, Measurement, Pixels

_BUDGET = 640_000
"""Pixels searched for keypoints; larger images are scaled down to it."""
_DENSE = 300_000
"""Largest image, pixels, also searched block by block."""


class CopyMove(Feature):
    """Pairs of areas of which one is a copy of the other."""

    name: ClassVar[str] = "copy_move"
    title: ClassVar[str] = "Copied areas (copy-move)"
    family: ClassVar[Family] = "cloning"
    detects: ClassVar[str] = (
        "An area pasted elsewhere in the same image, also turned or scaled: SIFT keypoints matched "
        "inside the image and grouped by one similarity transform (Amerini et al., TIFS 2011), and "
        "repeated blocks with one shift in small images (Fridrich et al., 2003)."
    )
    look_for: ClassVar[str] = "Two boxes with the same content where the scene has it only once."
    ignore: ClassVar[str] = (
        "Windows, tiles, printed patterns and reflections repeat honestly; look at both places."
    )
    caution: ClassVar[str] = (
        "Smooth areas have no keypoints, so that a copied sky is missed; images above 0.64 MP are "
        "scaled down for it, and block search is done up to 0.3 MP only."
    )

    def measure(self, image: Pixels) -> Measurement:
        """Matches of the best pair of areas; boxes alternate source and copy (in no known order).

        A match is a pair of keypoints, or 64 pixels where the block search found the pair.
        """
        gray = cv2.cvtColor(image.rgb, cv2.COLOR_RGB2GRAY)
        height, width = gray.shape
        scale = min(1.0, (_BUDGET / (height * width)) ** 0.5)
        small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        clones = keypoint_clones(small)
        if not clones and height * width <= _DENSE:
            clones = dense_clone(small)
        clones.sort(key=lambda clone: -clone.matches)
        best = clones[0].matches if clones else 0.0
        text = f"{number(best)} matches tie two areas of the image as copies." if clones else (
            f"No copied area was found ({number(best)} matches).")  # fmt: skip
        boxes = tuple(_scaled(box, scale, width, height) for c in clones for box in (c.a, c.b))
        values = {"matches": best, "pairs": float(len(clones))}
        return Measurement(self.name, values, text, _map(clones, small), boxes=boxes)


def _scaled(
    box: tuple[int, int, int, int], scale: float, width: int, height: int
) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (edge / scale for edge in box)
    return int(x0), int(y0), min(width, int(np.ceil(x1))), min(height, int(np.ceil(y1)))


def _map(clones: list[Clone], gray: NDArray[np.uint8]) -> FloatMap:
    """Matches of the clone each cell belongs to, 0 elsewhere."""
    response = np.zeros(gray.shape, np.float32)
    for clone in reversed(clones):
        response[clone.area] = clone.matches
    height, width = gray.shape
    shrink = max(4, -(-max(height, width) // MAP_SIDE))
    size = max(1, width // shrink), max(1, height // shrink)
    return np.asarray(cv2.resize(response, size, interpolation=cv2.INTER_AREA), np.float32)
