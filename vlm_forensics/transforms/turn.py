"""Quarter turns."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vlm_forensics.transforms.base import Picture, Scene, Share, Transform


class Turn(Transform):
    """One to three quarter turns; no pixel is changed, so no trace is lost."""

    name: ClassVar[str] = "turn"
    does: ClassVar[str] = "one to three quarter turns, no pixel changed"
    describable: ClassVar[bool] = True

    share: Share = 0.5

    def __call__(self, picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:  # noqa: ARG002
        """The turned picture."""
        turns = int(rng.integers(1, 4))
        return picture.with_pixels(np.rot90(picture.rgb, turns), np.rot90(picture.mask, turns))
