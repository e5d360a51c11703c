"""Rotation by any angle (SAFE)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from vlm_forensics.transforms.base import Picture, Scene, Share, Transform


class Rotate(Transform):
    """Turned about the centre by a uniform angle, corners black.

    As in SAFE (Li et al., KDD 2025, arXiv 2408.06741): up to 180 degrees either way, nearest
    neighbour, because interpolation would smooth the traces away. The black corners would be
    measured, hence it does not serve the language stage.
    """

    name: ClassVar[str] = "rotate"
    does: ClassVar[str] = "turned about its centre by any angle, nearest neighbour (SAFE)"
    describable: ClassVar[bool] = False

    share: Share = 1.0
    degrees: Annotated[float, Field(gt=0, le=180)] = 180.0
    """Largest angle either way."""

    def __call__(self, picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:  # noqa: ARG002
        """The rotated picture; what leaves the square is lost."""
        angle = float(rng.uniform(-self.degrees, self.degrees))
        rgb = Image.fromarray(picture.rgb).rotate(angle)
        mask = Image.fromarray(picture.mask).rotate(angle)
        return picture.with_pixels(np.asarray(rgb), np.asarray(mask, bool))
