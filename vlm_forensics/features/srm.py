"""Residuals of three high-pass kernels of the spatial rich model."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features._sampling import Sample, luma, number
from vlm_forensics.features.base import Family, Feature, Measurement, Pixels

_KB = np.pad(np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]], np.float32) / 4, 1)
_KV = np.array(
    [[-1, 2, -2, 2, -1],
     [2, -6, 8, -6, 2],
     [-2, 8, -12, 8, -2],
     [2, -6, 8, -6, 2],
     [-1, 2, -2, 2, -1]], np.float32) / 12  # fmt: skip
_EDGE = np.pad(np.array([[1, -2, 1]], np.float32) / 2, ((2, 2), (1, 1)))
KERNELS: NDArray[np.float32] = np.stack([_KB, _KV, _EDGE])
"""`[3, 5, 5]`: Ker-Böhme 3x3, its 5x5 form, second-order horizontal; each centre tap is -1."""

_BUDGET = 2_000_000


class Srm(Feature):
    """Energy of the SRM residuals."""

    name: ClassVar[str] = "srm"
    title: ClassVar[str] = "Noise residual (SRM)"
    family: ClassVar[Family] = "noise"
    detects: ClassVar[str] = (
        "What cannot be predicted from the neighbouring pixels, by three linear kernels of the "
        "spatial rich model (Fridrich & Kodovský, TIFS 2012)."
    )
    look_for: ClassVar[str] = (
        "An area whose residual is uniformly weaker or stronger than similar texture elsewhere."
    )
    ignore: ClassVar[str] = "Edges and texture stand out everywhere; only unexplained areas matter."
    caution: ClassVar[str] = (
        "Weak after strong JPEG compression. Above 2 MP it is read from native tiles spread over "
        "the image, so that a place smaller than their spacing can be missed."
    )

    def measure(self, image: Pixels) -> Measurement:
        """Mean |residual| over the kernels, in grey levels."""
        sample = Sample.of(image.rgb, _BUDGET)
        gray = luma(sample.rgb)
        magnitudes = [np.abs(cv2.filter2D(gray, -1, kernel)) for kernel in KERNELS]
        maps = [sample.map_of(magnitude, margin=2) for magnitude in magnitudes]
        means = [float(np.mean(response)) for response in maps]
        mean = float(np.mean(means))
        return Measurement(
            self.name,
            {"mean": mean, "kb3": means[0], "kv5": means[1], "edge": means[2]},
            f"The noise residual (SRM) has a mean strength of {number(mean)} grey levels.",
            np.mean(maps, axis=0, dtype=np.float32),
        )
