"""Random patches blacked out (SAFE)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from vlm_forensics.transforms.base import Picture, Scene, Share, Transform


class PatchMask(Transform):
    """A share of the cells of a grid made black, so that no single place may decide.

    As in SAFE (Li et al., KDD 2025, arXiv 2408.06741): patches of 16 pixels, a share drawn
    uniformly from 0 to 0.75, on half of the pictures. Not of the paper: an altered area under a
    patch is seen no more and leaves the mask. Black cells are clones of each other, which
    `copy_move` would measure, hence it does not serve the language stage.
    """

    name: ClassVar[str] = "patch_mask"
    does: ClassVar[str] = "random cells of a grid made black (SAFE)"
    describable: ClassVar[bool] = False

    share: Share = 0.5
    patch: Annotated[int, Field(ge=1, le=128)] = 16
    """Side of a cell, pixels."""
    most: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Largest share of the cells; the share is uniform from 0."""

    def __call__(self, picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:  # noqa: ARG002
        """The picture without some of its cells."""
        height, width = picture.mask.shape
        rows, columns = -(-height // self.patch), -(-width // self.patch)
        count = int(rng.uniform(0, self.most) * rows * columns)
        cells = np.ones(rows * columns, bool)
        cells[rng.choice(rows * columns, count, replace=False)] = False
        grid = cells.reshape(rows, columns).repeat(self.patch, 0).repeat(self.patch, 1)
        kept = grid[:height, :width]
        return picture.with_pixels(picture.rgb * kept[..., None], picture.mask & kept)
