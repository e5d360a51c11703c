"""Texture diversity of patches and the contrast of rich and poor ones (PatchCraft)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features._sampling import blocks, luma, mosaic, number
from vlm_forensics.features.base import Family, Feature, FloatMap, Measurement, Pixels

PATCH = 32
_BUDGET = 2_000_000


def diversity(patches: NDArray[Any]) -> FloatMap:
    """`l_div` of PatchCraft: summed |difference| to the neighbour in four directions.

    Args:
        patches: `[..., t, t]` floating, grey levels.

    Returns:
        `[...]`: horizontal, vertical and both diagonal sums together.
    """
    shifted = (
        patches[..., :, 1:] - patches[..., :, :-1],
        patches[..., 1:, :] - patches[..., :-1, :],
        patches[..., 1:, 1:] - patches[..., :-1, :-1],
        patches[..., 1:, :-1] - patches[..., :-1, 1:],
    )
    return np.asarray(
        sum(np.abs(part).sum(axis=(-2, -1), dtype=np.float64) for part in shifted), np.float32
    )


def _pairs(tile: int) -> int:
    return 2 * tile * (tile - 1) + 2 * (tile - 1) ** 2


class Texture(Feature):
    """Contrast of the richest and the poorest texture."""

    name: ClassVar[str] = "texture"
    title: ClassVar[str] = "Texture diversity (PatchCraft)"
    family: ClassVar[Family] = "texture"
    detects: ClassVar[str] = (
        "Unlike noise in rich and poor texture: l_div, the summed neighbour difference in four "
        "directions of each 32x32 patch, richest third against poorest (Zhong et al., PatchCraft, "
        "2023)."
    )
    look_for: ClassVar[str] = (
        "Poor patches that are almost noiseless beside rich ones, or one patch apart from others "
        "on the same surface."
    )
    ignore: ClassVar[str] = "Sky, walls and out-of-focus areas are poor in every photograph."
    caution: ClassVar[str] = (
        "It describes content first; denoising and JPEG also empty the poor patches. Above 2 MP it "
        "is read from native patches spread over the image."
    )

    def measure(self, image: Pixels) -> Measurement:
        """log2 of rich over poor diversity, per pair of neighbours (grey levels, offset 0.1)."""
        picture, grid = mosaic(image.rgb, PATCH, _BUDGET, align=2)
        level = diversity(blocks(luma(picture), grid)) / np.float32(_pairs(PATCH))
        poor, rich = _tails(level)
        contrast = float(np.log2((rich + 0.1) / (poor + 0.1)))
        few = level.size < 9
        return Measurement(
            self.name,
            {"contrast": contrast, "rich": rich, "poor": poor, "mean": float(level.mean())},
            f"Rich and poor texture differ by a factor of 2^{number(contrast)} in neighbour "
            "difference.",
            level,
            caveats=("fewer than nine patches: rich and poor are hardly defined",) if few else (),
        )


def _tails(level: FloatMap) -> tuple[float, float]:
    """Mean of the poorest and of the richest third of the patches, at least one each."""
    ordered = np.sort(level, axis=None)
    third = max(1, ordered.size // 3)
    return float(ordered[:third].mean()), float(ordered[-third:].mean())
