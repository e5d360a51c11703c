"""Mirrored left to right."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vlm_forensics.transforms.base import Picture, Scene, Share, Transform


class Flip(Transform):
    """Left and right exchanged; no pixel is changed, so no trace is lost."""

    name: ClassVar[str] = "flip"
    does: ClassVar[str] = "left and right exchanged, no pixel changed"
    describable: ClassVar[bool] = True

    share: Share = 0.5

    def __call__(self, picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:  # noqa: ARG002
        """The mirrored picture."""
        return picture.with_pixels(picture.rgb[:, ::-1], picture.mask[:, ::-1])
