"""What an engine is shown: the pixels made small and upright, without a byte of the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.image import EvidenceImage, display_transform

LONGEST = 1024
"""Pixels of the longer side; engines shrink further to what they were trained on."""
_QUALITY = 95


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture as it is shown."""

    rgb: NDArray[np.uint8] = field(repr=False)
    """`[h, w, 3]`, turned as a viewer turns it."""
    jpeg: bytes = field(repr=False)
    """The same for an endpoint. Written here, so it holds no metadata."""
    reduced: float
    """How many times the sides were shrunk, at least 1."""

    @property
    def sha256(self) -> str:
        """Of the pixels."""
        return hashlib.sha256(self.rgb.tobytes()).hexdigest()


def picture(image: EvidenceImage) -> Picture:
    """What is shown of this image."""
    import cv2

    upright = display_transform(image.rgb, image.orientation)
    reduced = max(1.0, max(upright.shape[:2]) / LONGEST)
    height, width = (max(1, round(side / reduced)) for side in upright.shape[:2])
    small = np.ascontiguousarray(upright, np.uint8)
    if reduced > 1:
        small = cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
               cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # fmt: skip
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), options)
    return Picture(small, data.tobytes(), reduced)
