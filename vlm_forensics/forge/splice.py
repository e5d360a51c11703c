"""Splicing: an object or a piece of another photograph is pasted in."""

from __future__ import annotations

import cv2
import numpy as np

from vlm_forensics.forge import pasting, shapes
from vlm_forensics.forge.base import (
    MAX_AREA,
    MIN_AREA,
    ForgeOperation,
    Mask,
    Params,
    Rgb,
    log_uniform,
)
from vlm_forensics.taxonomy import Operation


class Splice(ForgeOperation):
    """Pastes part of the donor into the photo."""

    operation = Operation.SPLICE
    uses_donor = True
    makes = "pastes an object or a shape cut from another photograph, resized and turned"
    min_change = 12.0

    def attempt(
        self, photo: Rgb, donor: Rgb, rng: np.random.Generator
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of donor history, shape, geometry, place, colours and edge."""
        donor, params = _age(donor, rng)
        scale, angle = (1.0, 0.0) if rng.random() < 0.25 else (
            log_uniform(rng, 0.5, 1.5), rng.normal(0, 8))  # fmt: skip
        region, kind = _pick(photo, donor, scale, rng)
        fitted = _fit(region, photo, scale)
        if fitted is None:
            return None
        flip = bool(rng.random() < 0.5)
        patch = pasting.transform(pasting.cut(donor, region), fitted, angle, flip)
        layer, mask = pasting.place(patch, photo, *_spot(patch.mask, photo, rng))
        if not mask.any():
            return None
        params["harmonised"] = int(rng.random() < 0.5)
        if params["harmonised"]:
            layer = pasting.match_colour(layer, mask, photo, _surroundings(mask))
        feather = float(rng.choice([0.0, 1.0, 2.0, 3.0]))
        rgb = pasting.composite(photo, layer, pasting.feathered(mask, feather))
        params |= {"shape": kind, "scale": round(fitted, 3), "angle": round(angle, 1),
                   "flip": int(flip), "feather": feather}  # fmt: skip
        return rgb, mask, params


def _age(donor: Rgb, rng: np.random.Generator) -> tuple[Rgb, Params]:
    """The donor with a past of its own: often none, else a JPEG, noise or blur."""
    match rng.choice(["none", "jpeg", "noise", "blur"], p=[0.45, 0.3, 0.15, 0.1]):
        case "jpeg":
            quality = int(rng.integers(40, 92))
            return pasting.recompress(donor, quality), {"donor_quality": quality}
        case "noise":
            sigma = log_uniform(rng, 2, 8)
            return pasting.add_noise(donor, sigma, rng), {"donor_noise": round(sigma, 2)}
        case "blur":
            sigma = rng.uniform(0.5, 1.2)
            return cv2.GaussianBlur(donor, (0, 0), sigma), {"donor_blur": round(sigma, 2)}
    return donor, {}


def _pick(photo: Rgb, donor: Rgb, scale: float, rng: np.random.Generator) -> tuple[Mask, str]:
    """An object of the donor where one is found, else a shape of the wanted final area."""
    if rng.random() < 0.75:
        region = shapes.find_object(donor, rng)
        if region is not None:
            return region, "object"
    wanted = log_uniform(rng, MIN_AREA, MAX_AREA) * photo.shape[0] * photo.shape[1] / scale**2
    share = min(0.4, wanted / (donor.shape[0] * donor.shape[1]))
    return shapes.draw_region(donor, share, rng)


def _fit(region: Mask, photo: Rgb, scale: float) -> float | None:
    """The scale, changed where the piece would be too large or too small in the photo."""
    if not region.any():
        return None
    height, width = photo.shape[:2]
    x0, y0, x1, y1 = pasting.bounding_box(region)
    pixels, room = float(region.sum()), height * width
    largest = min(np.sqrt(0.9 * MAX_AREA * room / pixels), width / (x1 - x0), height / (y1 - y0))
    smallest = np.sqrt(1.2 * MIN_AREA * room / pixels)
    fitted = float(np.clip(scale, smallest, max(largest, smallest)))
    # Beyond a threefold enlargement the paste is mush that no one would publish.
    return fitted if fitted <= 3 else None


def _spot(mask: Mask, photo: Rgb, rng: np.random.Generator) -> tuple[int, int]:
    """Top left corner; one in five pastes may leave the frame by a fifth of its size."""
    x0, y0, x1, y1 = pasting.bounding_box(mask)
    over = 0.2 if rng.random() < 0.2 else 0.0
    corner = []
    for low, high, side in ((x0, x1, photo.shape[1]), (y0, y1, photo.shape[0])):
        slack = over * (high - low)
        first, last = -low - slack, side - high + slack
        corner.append(round(rng.uniform(min(first, last), max(first, last))))
    return corner[0], corner[1]


def _surroundings(mask: Mask) -> Mask:
    """A ring around the paste, the colours it has to agree with; the whole photo if none."""
    reach = max(5, round(np.sqrt(mask.sum()) / 3)) | 1
    ring = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool) & ~mask
    return ring if ring.any() else np.ones_like(mask)
