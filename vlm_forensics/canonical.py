"""From any decoded Pillow image to 8-bit sRGB: one rule for each case, each with a notice.

The rules are listed in `docs/canonicalisation.md`; changing one changes `CANONICALISATION`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

from PIL import Image

CANONICALISATION = "stored-grid-srgb/1"
"""Id of this rule set, kept in every report."""

Note = Callable[[str, str], None]
"""Takes the code and the message of a notice."""

_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_SRGB_TOLERANCE = 2
"""A profile that moves no probe colour by more than this many levels is taken as sRGB."""


class UnusablePixelsError(Exception):
    """The pixels have no defined brightness (NaN or infinity)."""


def to_rgb(image: Image.Image, note: Note) -> Image.Image:
    """The image in mode RGB, 8 bits, sRGB, on the same grid.

    Args:
        image: any mode Pillow can load; its pixels are already decoded.
        note: called once for each rule that applied.

    Raises:
        UnusablePixelsError: a floating-point image holds NaN or infinity.
    """
    image, alpha = _split_alpha(image, note)
    if image.mode in _DEEP_MODES:
        image = _scaled_to_8_bits(image, note)
    if image.mode == "1":
        note("bilevel", "the image has one bit per pixel and was widened to 8 bits")
        image = image.convert("L")
    if image.mode == "P":
        note("palette_expanded", "palette colours were expanded to RGB")
        image = image.convert("RGB")
    gray = image.mode == "L"
    image = _to_srgb(image, note)
    if gray:
        note("grayscale", "the image has one channel, repeated for red, green and blue")
    if alpha is not None:
        image = _on_white(image, alpha, note)
    return image


def _split_alpha(image: Image.Image, note: Note) -> tuple[Image.Image, Image.Image | None]:
    """Colour without transparency, and the transparency where there is any."""
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image, None
    if image.mode in _DEEP_MODES:
        # A transparent sample value of a 16-bit gray PNG cannot be composited by Pillow.
        note("transparency_ignored", "a transparent gray level is declared and was ignored")
        return image, None
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode == "P":
        note("palette_expanded", "palette colours were expanded to RGB")
    keep = "LA" if image.mode == "LA" else "RGBA"
    full = image.convert(keep)
    colour = full.convert(keep[:-1])
    colour.info = {"icc_profile": image.info.get("icc_profile")}
    return colour, full.getchannel("A")


def _on_white(image: Image.Image, alpha: Image.Image, note: Note) -> Image.Image:
    """The image over white, as a browser shows it; opaque images pass unchanged."""
    opaque = alpha.histogram()[255]
    total = alpha.width * alpha.height
    if opaque == total:
        return image
    note(
        "alpha_composited",
        f"{1 - opaque / total:.1%} of the pixels are transparent and were laid over white",
    )
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=alpha)
    return white


def _scaled_to_8_bits(image: Image.Image, note: Note) -> Image.Image:
    """Deep gray scaled by its full range, never clipped."""
    # Only this rare path needs numpy; importing it doubles the start of the worker.
    import numpy as np

    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UnusablePixelsError
    if image.mode == "F":
        bottom, top = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    else:
        bottom, top = (0.0, 65535.0) if low >= 0 and high <= 65535 else (low, high)
    note(
        "high_bit_depth",
        f"values of more than 8 bits were scaled from [{bottom:g}, {top:g}] to 0..255",
    )
    span = np.float32(top - bottom) or np.float32(1)
    scaled = (values.astype(np.float32) - np.float32(bottom)) * (np.float32(255) / span)
    deep = Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8))
    deep.info = {"icc_profile": image.info.get("icc_profile")}
    return deep


def _to_srgb(image: Image.Image, note: Note) -> Image.Image:
    """Colours through the embedded profile, or by Pillow's plain conversion without one."""
    converted = _through_profile(image, note)
    if image.mode == "CMYK":
        way = "its ICC profile" if converted else "the plain formula, as it has no usable profile"
        note("cmyk_converted", f"CMYK was converted to RGB with {way}")
    elif image.mode == "LAB":
        note("lab_converted", "CIE L*a*b* was converted to sRGB")
    elif image.mode not in ("RGB", "L", "LAB") and not converted:
        note("mode_converted", f"colour mode {image.mode} was converted to RGB")
    return converted or image.convert("RGB")


def _through_profile(image: Image.Image, note: Note) -> Image.Image | None:
    """The image in sRGB by its ICC profile; None when it has none, is sRGB or it is unusable."""
    icc = image.info.get("icc_profile")
    if not icc:
        return None
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        transform = ImageCms.buildTransform(
            profile, ImageCms.createProfile("sRGB"), image.mode, "RGB"
        )
        if image.mode in ("RGB", "L") and _is_identity(transform, image.mode):
            return None
        converted = ImageCms.applyTransform(image, transform)
    except Exception:  # littlecms reports a bad profile through half a dozen types
        note("icc_ignored", "the embedded colour profile cannot be used and was ignored")
        return None
    if converted is None:
        return None
    note("icc_converted", "colours were converted to sRGB with the embedded profile")
    return converted


def _is_identity(transform: Any, mode: str) -> bool:
    """Does the transform leave a set of probe colours where they are?

    Looking at what a profile does, not at its name, keeps the pixels of sRGB files untouched and
    cannot be fooled by a profile that calls itself sRGB.
    """
    from PIL import ImageCms

    levels = bytes(range(0, 256, 15))
    if mode == "L":
        probe = Image.frombytes("L", (len(levels), 1), levels)
    else:
        cube = [(r, g, b) for r in levels[::4] for g in levels[::4] for b in levels[::4]]
        cube += [(level, level, level) for level in levels]
        probe = Image.new("RGB", (len(cube), 1))
        probe.putdata(cube)
    after = ImageCms.applyTransform(probe, transform)
    if after is None:
        return False
    pairs = zip(probe.convert("RGB").tobytes(), after.tobytes(), strict=True)
    return all(abs(a - b) <= _SRGB_TOLERANCE for a, b in pairs)
