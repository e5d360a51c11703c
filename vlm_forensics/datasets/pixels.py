"""Pixels and masks of samples, wherever their bytes are stored."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.io import loadmat

from vlm_forensics.datasets.base import Blob, Sample, SkipCode, Skipped

DECODE_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What reading a picture that does not decode raises."""

_DIFFERENCE = 12
"""Grey levels between tampered and original above which a pixel counts as altered."""
_PROPORTION_TOLERANCE = 0.02
"""Relative difference of proportions that rounding of a resized mask explains."""


@dataclass(frozen=True, slots=True)
class RecodedMask:
    """A mask in an encoding of its own, read as a PNG with white where the picture was altered."""

    inner: Blob
    """The published file."""
    altered: Callable[[NDArray[np.uint8]], NDArray[np.bool_]]
    """From `[H, W, 3]` RGB to `[H, W]`; a function of a module, because workers get pickles."""

    @property
    def name(self) -> str:
        """Name of the published file, with the suffix of what `read_bytes` gives."""
        return f"{Path(self.inner.name).stem}.png"

    def read_bytes(self) -> bytes:
        """The mask as a PNG.

        Raises:
            OSError: the published file cannot be read.
        """
        try:
            marked = self.altered(read_pixels(self.inner))
        except DECODE_ERRORS as error:
            raise OSError(f"{self.inner.name} does not decode ({type(error).__name__})") from error
        buffer = io.BytesIO()
        Image.fromarray(marked.astype(np.uint8) * np.uint8(255)).save(buffer, "PNG")
        return buffer.getvalue()


def not_white(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """For masks that mark what was altered with black or a colour on white."""
    return np.asarray(pixels.min(axis=2) < 128)


def read_pixels(blob: Blob) -> NDArray[np.uint8]:
    """Pixels of a trusted research file as `[H, W, 3]`, stored grid.

    Large JPEGs are decoded at a reduced scale that keeps the short side at 1024 or more.

    Raises:
        OSError, ValueError, SyntaxError: the file does not decode.
    """
    with _opened(blob) as image:
        if image.format == "JPEG":
            scale = max(1, min(image.size) // 1024)
            image.draft("RGB", (image.width // scale, image.height // scale))
        return np.asarray(image.convert("RGB"))


def read_mask(sample: Sample, height: int, width: int) -> NDArray[np.bool_]:
    """The altered pixels as `[height, width]`; empty when the sample has no mask."""
    if sample.masks:
        union = np.zeros((height, width), bool)
        for blob in sample.masks:
            union |= _fit(mask_values(blob), height, width) > 127
        return union
    if sample.original is not None:
        return _difference(sample, height, width)
    return np.zeros((height, width), bool)


def mask_values(blob: Blob) -> NDArray[np.uint8]:
    """A mask as `[h, w]` 0..255: an image file, or a MATLAB array whatever its suffix says."""
    data = blob.read_bytes()
    if data[:6] == b"MATLAB":
        arrays = [v for k, v in loadmat(io.BytesIO(data)).items() if not k.startswith("__")]
        return (np.asarray(arrays[0]) > 0).astype(np.uint8) * np.uint8(255)
    with Image.open(io.BytesIO(data)) as image:
        grey = np.asarray(ImageOps.grayscale(image.convert("RGB")))
    # Some sets store the classes 0 and 1 themselves; a threshold of 127 would see nothing.
    return np.asarray(grey * np.uint8(255)) if grey.max() == 1 else grey


def decoding_fault(sample: Sample) -> Skipped | None:
    """What is wrong with the bytes of a sample; decodes its image, masks and original."""
    parts = [(SkipCode.BROKEN_IMAGE, sample.path)]
    parts += [(SkipCode.BROKEN_MASK, mask) for mask in sample.masks]
    parts += [(SkipCode.BROKEN_ORIGINAL, sample.original)] if sample.original else []
    shapes = []
    for code, blob in parts:
        try:
            read = mask_values if code is SkipCode.BROKEN_MASK else read_pixels
            shapes.append(read(blob).shape[:2])
        except Exception as error:  # beyond DECODE_ERRORS too: a damaged mask may be a MATLAB file
            why = f"{blob.name} does not decode ({type(error).__name__})"
            return Skipped(sample.id, code, why)
    height, width = shapes[0]
    for tall, wide in shapes[1 : 1 + len(sample.masks)]:
        if abs(tall * width / (wide * height) - 1) > _PROPORTION_TOLERANCE:
            why = f"mask {wide}×{tall} of an image {width}×{height}"
            return Skipped(sample.id, SkipCode.MASK_SIZE, why)
    return None


def _opened(blob: Blob) -> Image.Image:
    return Image.open(blob if isinstance(blob, Path) else io.BytesIO(blob.read_bytes()))


def _difference(sample: Sample, height: int, width: int) -> NDArray[np.bool_]:
    assert sample.original is not None
    pair = [_fit(read_pixels(blob), height, width) for blob in (sample.path, sample.original)]
    apart = cv2.absdiff(*pair).max(axis=2) > _DIFFERENCE
    kernel = np.ones((5, 5), np.uint8)
    cleaned = cv2.morphologyEx(apart.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    return np.asarray(cv2.morphologyEx(cleaned, cv2.MORPH_CLOSE, kernel, iterations=2) > 0)


def _fit(array: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    how = cv2.INTER_AREA if array.shape[0] >= height else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(array, (width, height), interpolation=how), dtype=np.uint8)
