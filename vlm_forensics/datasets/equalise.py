"""The one transform that both classes pass before training, calibration and any quoted figure.

Real and forged pictures of public sets differ in format, size and JPEG quality, and a classifier
of the metadata alone reaches AUC 1.00 on several of them (the "unbiased GenImage" protocol,
Grommelt et al. 2024, shows the same). `equalise` makes these equal by construction: a square of
the picture, the same number of pixels, the same JPEG tables.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_forensics.features.base import PixelArray

SIDE = 256
"""Pixels per side: the shortest side that almost every public source reaches."""
QUALITY = 90
"""JPEG quality of every evaluated picture, 4:2:0."""


@dataclass(frozen=True, slots=True)
class Square:
    """A square of a picture: left and top corner and side, pixels."""

    x: int
    y: int
    side: int


def centre_square(height: int, width: int) -> Square:
    """The largest square, centred."""
    side = min(height, width)
    return Square((width - side) // 2, (height - side) // 2, side)


def take(rgb: NDArray[np.uint8], square: Square, side: int = SIDE) -> NDArray[np.uint8]:
    """The square of `rgb` as `[side, side, 3]`; area averaging down, bicubic up."""
    crop = rgb[square.y : square.y + square.side, square.x : square.x + square.side]
    how = cv2.INTER_AREA if square.side >= side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (side, side), interpolation=how), dtype=np.uint8)


def recompress(rgb: NDArray[np.uint8], quality: int = QUALITY) -> PixelArray:
    """`rgb` saved as a 4:2:0 JPEG of this quality and read again, with its tables."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(buffer) as image:
        tables = {int(k): tuple(int(n) for n in v) for k, v in image.quantization.items()}  # type: ignore[attr-defined]
        return PixelArray(np.asarray(image.convert("RGB")), tables)


def equalise(rgb: NDArray[np.uint8], *, side: int = SIDE, quality: int = QUALITY) -> PixelArray:
    """Centre square, `side` pixels, JPEG `quality`: the same for every class."""
    return recompress(take(rgb, centre_square(*rgb.shape[:2]), side), quality)
