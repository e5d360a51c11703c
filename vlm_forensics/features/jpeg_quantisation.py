"""JPEG quantisation tables, and what an earlier compression left in the pixels."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features._sampling import blocks, luma, mosaic, number
from vlm_forensics.features.base import Family, Feature, FloatMap, Measurement, Pixels

_LUMA = np.array(
    [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
     14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
     18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
     49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99])  # fmt: skip
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_TILE = 32
_BUDGET = 500_000
_LOW = [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2), (0, 3), (3, 0)]
_BIN = 0.1
_BINS = 1200
_STEPS = 80
_TRACE = 0.3
_DCT = cv2.dct(np.eye(8), flags=cv2.DCT_ROWS).T
"""Orthonormal DCT-II: `_DCT @ block @ _DCT.T` are the coefficients of an 8x8 block."""
"""Least periodicity taken for a quantisation; coefficients never quantised stay near 0."""
NEVER = 100.0
"""Quality reported where no compression can be seen."""


class TableMatch(NamedTuple):
    """The IJG quality whose tables are nearest."""

    quality: int
    standard: bool
    """The tables are exactly those of the IJG library at this quality."""


def ijg_tables(base: NDArray[np.int_]) -> NDArray[np.int_]:
    """Tables `[100, 64]` of the IJG library for qualities 1 to 100 (annex K tables scaled)."""
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.asarray(np.clip((base.reshape(1, 64) * scale + 50) // 100, 1, 255))


_IJG = ijg_tables(_LUMA), ijg_tables(_CHROMA)


def match_tables(tables: dict[int, tuple[int, ...]]) -> TableMatch:
    """Quality of stored tables: the IJG quality with the least summed difference."""
    error = np.zeros(100)
    for position, key in enumerate(sorted(tables)[:2]):
        error += np.abs(_IJG[position] - np.asarray(tables[key])).sum(axis=1)
    best = int(np.argmin(error))
    return TableMatch(best + 1, bool(error[best] == 0))


class Grid(NamedTuple):
    """The 8x8 block grid seen in the pixels."""

    strength: float
    """Excess of the cross difference on the grid lines over the median line, ≥ 0."""
    y: int
    x: int
    """Phase 0..7 of the grid; 0, 0 for a file that was never cropped or moved."""


def _phase(lines: NDArray[Any]) -> tuple[float, int]:
    means = np.array([lines[phase::8].mean() for phase in range(8)])
    best = int(np.argmax(means))
    return float(means[best] / max(float(np.median(means)), 1e-3) - 1), (best + 1) % 8


def find_grid(cross: FloatMap) -> Grid:
    """Block grid from cross differences `[rows, cols, t - 1, t - 1]` (Chen & Hsu, 2008)."""
    down, y = _phase(cross.mean(axis=(0, 1, 3)))
    across, x = _phase(cross.mean(axis=(0, 1, 2)))
    return Grid(max(0.0, min(down, across)), y, x)


def quality_from_pixels(patches: FloatMap, grid: Grid) -> float:
    """IJG quality of an earlier compression, or `NEVER`.

    Dequantised DCT coefficients lie at multiples of their step, so `mean cos(2πc / step)` is near
    1 for the true step and its divisors; the coarsest fitting quality is the answer.

    Args:
        patches: `[rows, cols, t, t]` luminance tiles.
        grid: Phase of the grid in them.
    """
    side = (patches.shape[-1] - 7) // 8 * 8
    cut = patches[..., grid.y : grid.y + side, grid.x : grid.x + side]
    units = cut.reshape(-1, side // 8, 8, side // 8, 8).swapaxes(2, 3).reshape(-1, 8, 8)
    spectra = _DCT @ units @ _DCT.T
    fit = _periodicity(np.stack([spectra[:, u, v] for u, v in _LOW]))
    steps = np.minimum(_IJG[0].reshape(100, 8, 8)[:, *np.transpose(_LOW)], _STEPS - 1)
    usable = steps >= 2
    scores = np.where(usable, np.take_along_axis(fit.T, steps, axis=0), 0).sum(axis=1)
    scores = np.where(usable.sum(axis=1) >= 5, scores / np.maximum(usable.sum(axis=1), 1), 0)
    best = float(scores.max())
    return float(np.argmax(scores >= 0.9 * best) + 1) if best >= _TRACE else NEVER


def _periodicity(coefficients: NDArray[Any]) -> NDArray[np.float64]:
    """`mean cos(2πc / step)` of `[F, n]` coefficients for steps 0..79, as `[F, 80]`.

    Only coefficients beyond half a step count: those at zero fit every step.
    """
    index = np.minimum((np.abs(coefficients) / _BIN + 0.5).astype(np.intp), _BINS - 1)
    counts = np.stack([np.bincount(row, minlength=_BINS) for row in index])
    level = np.arange(_BINS) * _BIN
    steps = np.maximum(np.arange(_STEPS), 1)
    beyond = (level[:, None] > steps / 2) & (np.arange(_BINS) < _BINS - 1)[:, None]
    waves = np.where(beyond, np.cos(2 * np.pi * level[:, None] / steps), 0)
    total = counts @ beyond
    return np.asarray(np.where(total >= 20, counts @ waves / np.maximum(total, 1), 0))


class JpegQuantisation(Feature):
    """Quality of the last, or of an earlier, JPEG compression."""

    name: ClassVar[str] = "jpeg_quantisation"
    title: ClassVar[str] = "JPEG quantisation"
    family: ClassVar[Family] = "compression"
    detects: ClassVar[str] = (
        "The JPEG quality from the file's quantisation tables, or, in other formats, from the "
        "8x8 grid and the multiples that DCT coefficients sit at (Fan & de Queiroz, 2003); the map "
        "shows how visible the grid is."
    )
    look_for: ClassVar[str] = (
        "A file format without loss that was JPEG before, a grid that does not start at the "
        "corner, or an area where the grid is missing."
    )
    ignore: ClassVar[str] = "Cameras and web sites use tables of their own; that is normal."
    caution: ClassVar[str] = (
        "A quality says how strong the last compression was, not whether the image is genuine. "
        "Above quality 95, and after resizing, no trace remains in the pixels. Pixels are read "
        "from native tiles spread over the image."
    )

    def measure(self, image: Pixels) -> Measurement:
        """Estimated quality 1..100 (100 also where no compression is seen) and grid strength."""
        picture, shape = mosaic(image.rgb, _TILE, _BUDGET, align=8)
        patches = blocks(luma(picture), shape)
        cross = np.abs(
            patches[..., 1:, 1:] + patches[..., :-1, :-1]
            - patches[..., 1:, :-1] - patches[..., :-1, 1:]
        )  # fmt: skip
        grid = find_grid(cross)
        quality, standard, text, caveats = _describe(image, patches, grid)
        values = {
            "quality": quality,
            "standard": float(standard),
            "grid_strength": grid.strength,
            "grid_x": float(grid.x),
            "grid_y": float(grid.y),
        }
        return Measurement(self.name, values, text, _grid_map(cross, grid), caveats=caveats)


def _grid_map(cross: FloatMap, grid: Grid) -> FloatMap:
    """Grid visibility per tile: excess of the cross difference on the grid lines, ≥ 0."""
    on_rows = cross[:, :, (grid.y - 1) % 8 :: 8, :].mean(axis=(2, 3))
    on_cols = cross[:, :, :, (grid.x - 1) % 8 :: 8].mean(axis=(2, 3))
    everywhere = cross.mean(axis=(2, 3))
    excess = (on_rows + on_cols) / 2 / np.maximum(everywhere, 0.1) - 1
    return np.asarray(np.maximum(excess, 0), np.float32)


def _describe(
    image: Pixels, patches: FloatMap, grid: Grid
) -> tuple[float, bool, str, tuple[str, ...]]:
    """Quality, whether its tables are standard, the sentence and the caveats."""
    if image.quantization:
        match = match_tables(image.quantization)
        kind = "the standard IJG tables of" if match.standard else "tables nearest to"
        own = "the tables are not standard IJG ones; the quality is that of the nearest"
        caveats = () if match.standard else (own,)
        text = f"The file uses {kind} JPEG quality {number(match.quality)}."
        return float(match.quality), match.standard, text, caveats
    quality = quality_from_pixels(patches, grid)
    if quality >= NEVER:
        text = f"No trace of an earlier JPEG compression was found (quality {number(NEVER)})."
    else:
        text = f"The pixels were JPEG-compressed before, at a quality near {number(quality)}."
    return quality, False, text, ("no JPEG tables: the quality is estimated from the pixels",)
