"""The forms in which a picture is shown to the model: equalised, whole, as it is, or degraded.

Degraded forms start from the equalised picture after its JPEG and are what becomes of pictures on
their way: a service saves them again, someone makes a screenshot. Every class passes the same.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from vlm_forensics.datasets.equalise import QUALITY, centre_square, recompress, take

Pixels8 = NDArray[np.uint8]

SQUARE, WHOLE, FILE = "square", "whole", "file"
"""The equalised centre square; the whole picture at its own size saved as the same JPEG; the
dataset's own bytes."""


def as_jpeg(rgb: Pixels8, quality: int = QUALITY) -> bytes:
    """The pixels as the 4:2:0 JPEG file that `equalise.recompress` reads back."""
    return _saved(rgb, "JPEG", quality=quality, subsampling="4:2:0")


def equalised_jpeg(rgb: Pixels8) -> bytes:
    """The centre square at the common size, as the common JPEG."""
    return as_jpeg(take(rgb, centre_square(*rgb.shape[:2])))


def _saved(rgb: Pixels8, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, kind, **options)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Condition:
    """One degradation of the robustness grid."""

    name: str
    family: str
    """Conditions of one family make one curve, in their order."""
    make: Callable[[Pixels8], bytes]
    """Equalised pixels `[H, W, 3]` to the bytes of a file."""


def _jpeg(quality: int) -> Condition:
    return Condition(f"jpeg_{quality}", "jpeg", lambda rgb: as_jpeg(rgb, quality))


def _blur(sigma: float) -> Condition:
    return Condition(
        f"blur_{sigma:g}", "blur",
        lambda rgb: as_jpeg(np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma), np.uint8)),
    )  # fmt: skip


def _resize(factor: float) -> Condition:
    return Condition(f"resize_{factor:g}", "resize", lambda rgb: as_jpeg(_scaled(rgb, factor)))


def _noise(sigma: float) -> Condition:
    return Condition(f"noise_{sigma:g}", "noise", lambda rgb: as_jpeg(_noisy(rgb, sigma)))


def _scaled(rgb: Pixels8, factor: float) -> Pixels8:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=how), np.uint8)


def _noisy(rgb: Pixels8, sigma: float) -> Pixels8:
    """White noise of `sigma` times full scale, the same in every run on the same picture."""
    seed = int.from_bytes(hashlib.sha256(rgb.tobytes()).digest()[:8])
    noise = np.random.default_rng(seed).normal(0, sigma * 255, rgb.shape)
    return np.asarray(np.clip(np.rint(rgb + noise), 0, 255), np.uint8)


def _cropped(rgb: Pixels8) -> bytes:
    """The middle, four fifths of each side."""
    height, width = rgb.shape[:2]
    top, left = height // 10, width // 10
    return as_jpeg(np.ascontiguousarray(rgb[top : height - top, left : width - left]))


def _jittered(rgb: Pixels8) -> bytes:
    """A fifth more brightness, contrast and colour."""
    image = Image.fromarray(rgb)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(1.2)
    return as_jpeg(np.asarray(image))


def _screenshot(rgb: Pixels8) -> bytes:
    """Scaled as a screen of another density shows it, saved without loss."""
    return _saved(_scaled(rgb, 1.25), "PNG")


def _social_chain(rgb: Pixels8) -> bytes:
    """Shrunk and saved by one service, saved again by a messenger, then by another service."""
    first = recompress(_scaled(rgb, 0.75), 80).rgb
    return as_jpeg(recompress(first, 70).rgb, 75)


CONDITIONS: tuple[Condition, ...] = (
    *(_jpeg(quality) for quality in (90, 70, 50, 30)),
    Condition("webp_80", "webp", lambda rgb: _saved(rgb, "WEBP", quality=80)),
    *(_blur(sigma) for sigma in (0.5, 1, 2)),
    *(_resize(factor) for factor in (0.5, 0.25)),
    *(_noise(sigma) for sigma in (0.02, 0.05, 0.1)),
    Condition("jitter", "jitter", _jittered),
    Condition("crop_0.8", "crop", _cropped),
    Condition("screenshot", "screenshot", _screenshot),
    Condition("social_chain", "social chain", _social_chain),
)  # fmt: skip
"""The robustness grid."""
BY_NAME = {condition.name: condition for condition in CONDITIONS}


def render(rgb: Pixels8, view: str) -> bytes:
    """The file that the model is given for these pixels.

    Args:
        rgb: `[H, W, 3]`, stored grid.
        view: `SQUARE`, `WHOLE` or the name of a condition.

    Raises:
        KeyError: there is no such view.
    """
    if view == WHOLE:
        return as_jpeg(rgb)
    if view == SQUARE:
        return equalised_jpeg(rgb)
    square = take(rgb, centre_square(*rgb.shape[:2]))
    return BY_NAME[view].make(recompress(square).rgb)
