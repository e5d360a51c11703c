"""Diagonal detail of the first wavelet level (bior1.3), the input of SAFE."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features._sampling import area_map, number
from vlm_forensics.features.base import Family, Feature, FloatMap, Measurement, Pixels


def hh(pixels: NDArray[Any]) -> FloatMap:
    """Level-1 HH band, equal to `pywt.dwt2(x, "bior1.3", "symmetric")[1][2]`.

    The high-pass analysis filter of bior1.3 has two taps, ±1/√2, so that the band is half the
    diagonal difference of 2x2 blocks: a few array operations in place of a filter bank.

    Args:
        pixels: `[H, W]`, any real type.

    Returns:
        `[(H + 5) // 2, (W + 5) // 2]`; the outermost cells lie in the padding.
    """
    height, width = pixels.shape
    # Bytes are padded as they are: large images as floating numbers cost four times the memory.
    plain = pixels if pixels.dtype == np.uint8 else np.asarray(pixels, np.float32)
    padded = cv2.copyMakeBorder(
        plain, 2, 2 + height % 2, 2, 2 + width % 2, cv2.BORDER_REFLECT
    )  # fmt: skip
    across = np.subtract(padded[:, 1::2], padded[:, ::2], dtype=np.float32)
    band = 0.5 * (across[1::2] - across[::2])
    return np.asarray(band, np.float32)


class DwtHh(Feature):
    """Energy of the diagonal wavelet band."""

    name: ClassVar[str] = "dwt_hh"
    title: ClassVar[str] = "Diagonal wavelet detail (DWT-HH)"
    family: ClassVar[Family] = "generation"
    detects: ClassVar[str] = (
        "The highest diagonal frequencies, band HH of a one-level bior1.3 wavelet transform, which "
        "cameras and generators fill differently (Li et al., SAFE, KDD 2025)."
    )
    look_for: ClassVar[str] = (
        "A closed area that is smoother or busier than its surroundings, or a regular lattice."
    )
    ignore: ClassVar[str] = "Hair, foliage and diagonal edges light up in every photograph."
    caution: ClassVar[str] = "JPEG below quality 80 and any downscaling remove most of this band."

    def measure(self, image: Pixels) -> Measurement:
        """Root mean square of HH on the luminance, in grey levels."""
        band = hh(cv2.cvtColor(image.rgb, cv2.COLOR_RGB2GRAY))[1:-1, 1:-1]
        magnitude = np.abs(band)
        rms = float(np.sqrt(np.mean(np.square(band), dtype=np.float64)))
        mean = float(np.mean(magnitude, dtype=np.float64))
        return Measurement(
            self.name,
            {"rms": rms, "mean": mean, "peakiness": rms / mean if mean > 0 else 0.0},
            f"Diagonal wavelet detail has a strength of {number(rms)} grey levels (RMS).",
            area_map(magnitude, cell=4),
        )
