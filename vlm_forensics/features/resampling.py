"""Periodic traces that scaling and rotating leave in the prediction residual."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features._sampling import blocks, luma, mosaic, number, origins
from vlm_forensics.features.base import Family, Feature, FloatMap, Measurement, Pixels

PREDICTOR = np.array([[-0.25, 0.5, -0.25], [0.5, 0, 0.5], [-0.25, 0.5, -0.25]], np.float32)
"""Kirchner's fixed linear predictor of a pixel from its eight neighbours."""
_BLOCK = 64
_STRIDE = 32
_BUDGET = 1_500_000
_LONG = 256
_LOWEST = 0.06
"""Frequencies below this (cycles per pixel) hold content, not periods."""


def residual(gray: FloatMap) -> FloatMap:
    """Compressed magnitude of the prediction error, `log2(1 + |e|)`, `[H, W]`."""
    error = np.abs(gray - cv2.filter2D(gray, -1, PREDICTOR))
    return np.asarray(np.log2(1 + error), np.float32)


def spectra(patches: FloatMap) -> NDArray[np.float64]:
    """Power spectra of the row means and of the column means, `[..., 2, t // 2 + 1]`.

    Args:
        patches: `[..., t, t]` residuals.
    """
    lines = np.stack([patches.mean(axis=-2), patches.mean(axis=-1)], axis=-2).astype(np.float64)
    rows = lines.reshape(-1, lines.shape[-1])
    trend = cv2.blur(rows, (15, 1), borderType=cv2.BORDER_REPLICATE).reshape(lines.shape)
    lines = lines - trend
    window = np.hanning(lines.shape[-1])
    power = np.abs(np.fft.rfft(lines * window, axis=-1)) ** 2
    return np.asarray(power)


def peak_ratios(power: NDArray[Any]) -> NDArray[np.float64]:
    """Power over the running median along the last axis: 1 = no period."""
    width = max(5, power.shape[-1] // 4) | 1
    edges = [(0, 0)] * (power.ndim - 1) + [(width // 2, width // 2)]
    padded = np.pad(power, edges, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, width, axis=-1)
    floor = np.partition(around, width // 2, axis=-1)[..., width // 2]  # their number is odd
    return np.asarray(power / (floor + 1e-2 * power.mean(axis=-1, keepdims=True) + 1e-9))


def usable(ratio: NDArray[Any]) -> NDArray[np.bool_]:
    """Frequencies that can witness resampling, `[F]`.

    The 8x8 grid of JPEG has periods of its own at all multiples of 1/8; they are left out where
    1/8 and 3/8 stand out, which no common scale factor makes.

    Args:
        ratio: `[F]` peak ratios of one spectrum, frequencies 0 to 1/2.
    """
    frequency = np.linspace(0, 0.5, ratio.shape[-1])
    keep = frequency > _LOWEST
    grid = np.abs(frequency * 8 - np.round(frequency * 8)) < 0.13
    odd = grid & (np.abs(frequency - 0.25) > 0.02) & (frequency < 0.45) & keep
    if np.count_nonzero(ratio[odd] > 6) >= 2:
        keep &= ~grid
    return np.asarray(keep)


class Resampling(Feature):
    """Strength of the strongest period in the prediction residual."""

    name: ClassVar[str] = "resampling"
    title: ClassVar[str] = "Resampling spectrum"
    family: ClassVar[Family] = "resampling"
    detects: ClassVar[str] = (
        "Scaling and rotation: interpolated pixels are predictable at a fixed period, a peak in "
        "the spectrum of the linear prediction residual (Gallagher, 2005; Kirchner, 2008)."
    )
    look_for: ClassVar[str] = "A strong peak in one area only, where an object was scaled to fit."
    ignore: ClassVar[str] = (
        "Fences, fabric, brickwork and screens are periodic themselves; whole-image peaks follow "
        "from ordinary resizing and from camera demosaicing."
    )
    caution: ClassVar[str] = (
        "Downscaling and JPEG below quality 90 hide it, exact doubling leaves no period, and "
        "factors whose period falls on the 8x8 grid are skipped in JPEG-like images. Above 1.5 MP "
        "it is read from native blocks spread over the image."
    )

    def measure(self, image: Pixels) -> Measurement:
        """Peak over local median of the mean spectrum, its frequency, and a map of block peaks."""
        side = min(_LONG, *image.rgb.shape[:2]) // 2 * 2
        picture, grid = mosaic(image.rgb, side, _BUDGET, align=8)
        tiles = np.stack([residual(tile) for tile in
                          blocks(luma(picture), grid).reshape(-1, side, side)])  # fmt: skip
        ratio = peak_ratios(spectra(tiles).mean(axis=0))
        keep = usable(ratio.max(axis=0))
        considered = np.where(keep, ratio, 0)
        axis, index = np.unravel_index(int(np.argmax(considered)), considered.shape)
        peak, frequency = float(considered[axis, index]), float(index) / side
        values = {"peak": peak, "frequency": frequency, "jpeg_grid": float(not keep[-1])}
        caveats = () if side >= _BLOCK else ("too small for a clear spectrum",)
        text = (
            f"The strongest period of the residual stands {number(peak)} times above its spectrum"
        )
        text += f", at {number(frequency)} cycles per pixel."
        return Measurement(
            self.name, values, text, _block_map(image, frequency, bool(keep[-1])), caveats=caveats
        )


def _block_map(image: Pixels, frequency: float, all_frequencies: bool) -> FloatMap:
    """Peak ratio of native 64-pixel blocks, half overlapping as far as the budget allows.

    With a JPEG grid in the image only the neighbourhood of the image's own peak is read, because
    the periods of the grid would be mistaken for resampling in every block.
    """
    side = min(_BLOCK, *image.rgb.shape[:2]) // 2 * 2
    gray = luma(mosaic(image.rgb, side, _BUDGET)[0]) if _is_large(image) else luma(image.rgb)
    response = residual(gray)
    height, width = response.shape
    step = side if _is_large(image) else _STRIDE
    down = origins(height, side, max(1, -(-(height - side) // step) + 1))
    across = origins(width, side, max(1, -(-(width - side) // step) + 1))
    windows = np.lib.stride_tricks.sliding_window_view(response, (side, side))
    ratio = peak_ratios(spectra(windows[np.ix_(down, across)]))
    keep = np.fft.rfftfreq(side) > _LOWEST
    if not all_frequencies:
        keep &= np.abs(np.fft.rfftfreq(side) - frequency) <= 1.5 / side
    return np.asarray(ratio[..., keep].max(axis=(-2, -1)), np.float32)


def _is_large(image: Pixels) -> bool:
    return bool(image.rgb.shape[0] * image.rgb.shape[1] > _BUDGET)
