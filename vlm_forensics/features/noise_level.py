"""Local noise level, and blocks whose noise does not fit their brightness."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vlm_forensics.features._sampling import blocks, luma, mosaic, number
from vlm_forensics.features.base import Family, Feature, FloatMap, Measurement, Pixels

BLOCK = 16
_BUDGET = 1_500_000
_FLOOR = 0.1
_LEVELS = 12
_RARE = 5


def block_sigma(patches: FloatMap) -> FloatMap:
    """Noise deviation by the median of the diagonal Haar detail, `median(|HH|) / 0.6745`.

    Args:
        patches: `[..., t, t]`, t even, grey levels (Donoho & Johnstone's robust estimate).

    Returns:
        `[...]`, grey levels.
    """
    top, bottom = patches[..., ::2, :], patches[..., 1::2, :]
    detail = 0.5 * (top[..., ::2] - top[..., 1::2] - bottom[..., ::2] + bottom[..., 1::2])
    # Sorted whole: of so few numbers that is several times faster than `np.median`.
    flat = np.sort(np.abs(detail).reshape(*detail.shape[:-2], -1), axis=-1)
    half = flat.shape[-1] // 2
    middle = flat[..., half] if flat.shape[-1] % 2 else (flat[..., half - 1] + flat[..., half]) / 2
    return np.asarray(middle / 0.6745, np.float32)


def expected_sigma(sigma: FloatMap, brightness: FloatMap) -> FloatMap:
    """Median noise among blocks of like brightness (of all, where fewer than five are alike)."""
    bins = np.clip(brightness * (_LEVELS / 256), 0, _LEVELS - 1).astype(np.intp)
    expected = np.full_like(sigma, np.median(sigma))
    for level in np.unique(bins):
        alike = bins == level
        if np.count_nonzero(alike) >= _RARE:
            expected[alike] = np.median(sigma[alike])
    return expected


class NoiseLevel(Feature):
    """Noise deviation of blocks."""

    name: ClassVar[str] = "noise_level"
    title: ClassVar[str] = "Local noise level"
    family: ClassVar[Family] = "noise"
    detects: ClassVar[str] = (
        "Areas with another noise than the camera left elsewhere: median absolute diagonal wavelet "
        "detail per block, compared at like brightness (after Mahdian & Saic, 2009)."
    )
    look_for: ClassVar[str] = "An object or area evenly cleaner or noisier than its surroundings."
    ignore: ClassVar[str] = "Fine texture counts as noise; saturated and black areas have none."
    caution: ClassVar[str] = (
        "Night modes, denoising and portrait blur vary the noise inside honest photographs. Above "
        "1.5 MP it is read from native blocks spread over the image."
    )

    def measure(self, image: Pixels) -> Measurement:
        """Median noise deviation in grey levels, and the share of blocks off by a factor of 2."""
        picture, grid = mosaic(image.rgb, BLOCK, _BUDGET, align=2)
        patches = blocks(luma(picture), grid)
        sigma = block_sigma(patches)
        brightness = patches.mean(axis=(2, 3))
        ratio = np.log2((sigma + _FLOOR) / (expected_sigma(sigma, brightness) + _FLOOR))
        median, outliers = float(np.median(sigma)), float(np.mean(np.abs(ratio) > 1))
        clipped = float(np.mean((brightness < 4) | (brightness > 251)))
        caveats = ("more than a third is black or saturated",) if clipped > 1 / 3 else ()
        return Measurement(
            self.name,
            {"sigma": median, "outlier_share": outliers, "spread": float(np.std(ratio))},
            f"The typical noise is {number(median)} grey levels; {outliers:.0%} of the blocks are "
            "off by more than a factor of 2 for their brightness.",
            sigma,
            caveats=caveats,
        )
