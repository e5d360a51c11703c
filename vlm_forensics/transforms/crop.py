"""Crop instead of resize (SAFE)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vlm_forensics.datasets.equalise import SIDE, Square
from vlm_forensics.transforms.base import Picture, Scene, Share, Transform


class Crop(Transform):
    """A square of the stored pixels instead of the shrunk picture.

    SAFE (Li et al., KDD 2025, arXiv 2408.06741) crops in training and in use, because resizing
    removes the correlations of neighbouring pixels that generators leave. Not of the paper: a
    picture too small for a crop is left as it was cut, where SAFE pads it with black, since black
    edges would tell the small sources; and where an altered area is known, the crop shows a part
    of it, since SAFE knows generated pictures only.
    """

    name: ClassVar[str] = "crop"
    does: ClassVar[str] = "a square of the stored pixels in the place of the shrunk picture (SAFE)"
    describable: ClassVar[bool] = True

    share: Share = 0.5

    def __call__(self, picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:
        """A crop of the stored picture; the picture as it is where that is too small."""
        height, width = scene.stored.mask.shape
        if min(height, width) < SIDE:
            return picture
        altered = np.argwhere(scene.stored.mask)
        y, x = rng.integers(0, (height - SIDE + 1, width - SIDE + 1))
        if len(altered):
            seen = altered[rng.integers(len(altered))]
            y, x = (seen - rng.integers(0, SIDE, 2)).clip(0, (height - SIDE, width - SIDE))
        return scene.stored.cut(Square(int(x), int(y), SIDE))
