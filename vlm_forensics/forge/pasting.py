"""Cutting patches, turning them, laying them over a photo and hiding the seam."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.forge.base import Mask, Rgb

FloatImage = NDArray[np.float32]
_MARGIN = 8
"""Pixels kept around a patch, so that a feathered edge shows true neighbours."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A cut-out: pixels and shape of its bounding box with a margin."""

    rgb: Rgb
    mask: Mask
    origin: tuple[int, int]
    """(x, y) of the top left corner in the picture it came from."""


def cut(image: Rgb, mask: Mask) -> Patch:
    """The part of the image under the mask; the margin repeats the rim at the image's edge."""
    x0, y0, x1, y1 = bounding_box(mask)
    m = _MARGIN
    rgb = cv2.copyMakeBorder(image, m, m, m, m, cv2.BORDER_REPLICATE)
    wide = np.pad(mask, m)
    window = np.s_[y0 : y1 + 2 * m, x0 : x1 + 2 * m]
    return Patch(rgb[window], wide[window], (x0 - m, y0 - m))


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """Half-open `(x0, y0, x1, y1)` of the True pixels; the mask must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def around_box(mask: Mask, margin: int) -> tuple[slice, slice]:
    """The box of the True pixels with a margin, cut at the frame; the mask must not be empty."""
    x0, y0, x1, y1 = bounding_box(mask)
    return (slice(max(0, y0 - margin), y1 + margin), slice(max(0, x0 - margin), x1 + margin))


def transform(patch: Patch, scale: float, angle: float, flip: bool) -> Patch:
    """The patch mirrored, resized and turned (degrees); untouched pixels when all are neutral."""
    rgb, soft = patch.rgb, patch.mask.astype(np.float32)
    if flip:
        rgb, soft = rgb[:, ::-1], soft[:, ::-1]
    if scale != 1.0:
        size = max(3, round(rgb.shape[1] * scale)), max(3, round(rgb.shape[0] * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        rgb = cv2.resize(rgb, size, interpolation=how)
        soft = cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR)
    if angle:
        rgb, soft = _rotate(rgb, soft, angle)
    return Patch(np.ascontiguousarray(rgb), soft >= 0.5, patch.origin)


def place(patch: Patch, photo: Rgb, left: int, top: int) -> tuple[Rgb, Mask]:
    """A layer as large as the photo with the patch at (left, top), and where the patch shows."""
    layer, shown = photo.copy(), np.zeros(photo.shape[:2], bool)
    height, width = patch.mask.shape
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(photo.shape[1], left + width), min(photo.shape[0], top + height)
    if x0 < x1 and y0 < y1:
        inner = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        layer[y0:y1, x0:x1] = patch.rgb[inner]
        shown[y0:y1, x0:x1] = patch.mask[inner]
    return layer, shown


def feathered(mask: Mask, width: float) -> FloatImage:
    """Opacity in [0, 1]: a linear ramp `width` px to either side of the edge; the mask for 0.

    It is at least one half exactly where the mask is True.
    """
    if width <= 0:
        return mask.astype(np.float32)
    opacity = np.zeros(mask.shape, np.float32)
    if not mask.any():
        return opacity
    window = around_box(mask, int(width) + 2)  # beyond, the ramp has ended
    binary = mask[window].astype(np.uint8)
    inside = cv2.distanceTransform(binary, cv2.DIST_L2, 5) - 0.5
    outside = cv2.distanceTransform(1 - binary, cv2.DIST_L2, 5) - 0.5
    signed = np.where(mask[window], inside, -outside)
    opacity[window] = np.clip(0.5 + signed / (2 * width), 0, 1)
    return opacity


def composite(photo: Rgb, layer: Rgb, opacity: FloatImage) -> Rgb:
    """The layer over the photo; pixels of zero opacity stay exactly as they were."""
    whole, shows = photo.copy(), opacity > 0
    if shows.any():
        window = around_box(shows, 0)
        weight = opacity[window][..., None]
        mixed = photo[window] * (1 - weight) + layer[window] * weight
        whole[window] = np.rint(mixed).clip(0, 255)
    return whole


def match_colour(image: Rgb, inside: Mask, reference: Rgb, around: Mask) -> Rgb:
    """Colour transfer by mean and deviation in Lab (Reinhard et al. 2001).

    Args:
        image: pixels to recolour in and around `inside`, the others stay.
        inside: where to measure `image`.
        reference: picture whose colours are wanted.
        around: where to measure `reference`.
    """
    window, near = around_box(inside, _MARGIN), around_box(around, 0)
    lab, goal = _to_lab(image[window]), _to_lab(reference[near])[around[near]]
    own = lab[inside[window]]
    # A flat target must not crush the object, nor a busy one blow it up.
    ratio = np.clip(goal.std(axis=0) / (own.std(axis=0) + 1e-3), 0.6, 1.6)
    moved = (lab - own.mean(axis=0)) * ratio + goal.mean(axis=0)
    rgb = cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_Lab2RGB)
    whole = image.copy()
    whole[window] = np.rint(rgb.clip(0, 1) * 255)
    return whole


def recompress(image: Rgb, quality: int, codec: str = "jpeg") -> Rgb:
    """The image after one round trip through JPEG, or through lossy WebP (`codec="webp"`)."""
    flag = cv2.IMWRITE_JPEG_QUALITY if codec == "jpeg" else cv2.IMWRITE_WEBP_QUALITY
    _, data = cv2.imencode(f".{codec}", image[..., ::-1], [flag, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def add_noise(image: Rgb, sigma: float, rng: np.random.Generator) -> Rgb:
    """The image with Gaussian noise, grey levels; one draw for the three channels by half."""
    grain = rng.standard_normal(image.shape, np.float32) * 0.5
    grain += rng.standard_normal((*image.shape[:2], 1), np.float32) * 0.87
    return np.rint(image + sigma * grain).clip(0, 255).astype(np.uint8)


def noise_level(image: Rgb) -> float:
    """Noise deviation of the luma by Immerkaer's mask (1996), grey levels."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(luma, -1, mask))
    # The median leaves edges out, which the mean of the paper counts in.
    return float(np.median(response) / 0.6745 / 6)


def _rotate(rgb: Rgb, soft: FloatImage, angle: float) -> tuple[Rgb, FloatImage]:
    height, width = soft.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    c, s = abs(turn[0, 0]), abs(turn[0, 1])
    size = int(np.ceil(width * c + height * s)), int(np.ceil(width * s + height * c))
    turn[:, 2] += (np.array(size) - (width, height)) / 2
    turned = cv2.warpAffine(rgb, turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return turned, cv2.warpAffine(soft, turn, size, flags=cv2.INTER_LINEAR)


def _to_lab(image: Rgb) -> FloatImage:
    lab: FloatImage = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    return lab
