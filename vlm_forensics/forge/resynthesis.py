"""What the four re-synthesis operations share: a network's round trip and its paste-back."""

from __future__ import annotations

import cv2
import numpy as np

from vlm_forensics.forge import networks, pasting, shapes
from vlm_forensics.forge.base import MAX_AREA, MIN_AREA, Mask, Params, Rgb, log_uniform

_NETWORK_ODDS = {"compact_x2": 0.35, "compact_x3": 0.25, "compact_x4": 0.15, "dense6_x4": 0.15,
                 "dense23_x4": 0.1}  # fmt: skip
"""The dense networks add variety and cost ten times as much."""
_SHRINKERS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
_CONTEXT = 16
"""Pixels around a region the network sees, so that its own border effects stay outside."""


def super_resolved(image: Rgb, rng: np.random.Generator) -> tuple[Rgb, Params]:
    """The image shrunk 2 to 4 times and restored by a random super-resolution network."""
    network = str(rng.choice(list(_NETWORK_ODDS), p=list(_NETWORK_ODDS.values())))
    shrinker = str(rng.choice(list(_SHRINKERS)))
    factor = networks.factor(network)
    height, width = image.shape[:2]
    padded = cv2.copyMakeBorder(image, 0, -height % factor, 0, -width % factor, cv2.BORDER_REFLECT)
    size = padded.shape[1] // factor, padded.shape[0] // factor
    # Point-sampling shrinkers alias; a slight blur first is what resizing tools do.
    ready = padded if shrinker == "area" else cv2.GaussianBlur(padded, (0, 0), 0.35 * factor)
    small = cv2.resize(ready, size, interpolation=_SHRINKERS[shrinker])
    restored = networks.super_resolve(small, network)[:height, :width]
    return restored, {"network": network, "factor": factor, "shrinker": shrinker}


def autoencoded(image: Rgb, rng: np.random.Generator) -> tuple[Rgb, Params]:
    """The image after one or two trips through the tiny autoencoder.

    Its cells start at a random offset, as they do in a picture that was cropped after generation.
    """
    trips = 1 if rng.random() < 0.8 else 2
    x, y = (int(offset) for offset in rng.integers(0, networks.CELL, 2))
    made = cv2.copyMakeBorder(image, y, 0, x, 0, cv2.BORDER_REFLECT_101)
    for _ in range(trips):
        made = networks.autoencode(made)
    return made[y:, x:], {"network": "taef2", "trips": trips, "offset_x": x, "offset_y": y}


def draw_target(photo: Rgb, rng: np.random.Generator) -> tuple[Mask, str]:
    """The region to re-synthesise: an object where one is found, an outline otherwise."""
    if rng.random() < 0.35:
        region = shapes.find_object(photo, rng)
        if region is not None and MIN_AREA <= region.mean() <= MAX_AREA:
            return region, "object"
    return shapes.draw_region(photo, log_uniform(rng, MIN_AREA, MAX_AREA), rng)


def crop_around(mask: Mask) -> tuple[slice, slice]:
    """The mask's box with context on every side, cut at the frame."""
    x0, y0, x1, y1 = pasting.bounding_box(mask)
    return (slice(max(0, y0 - _CONTEXT), y1 + _CONTEXT),
            slice(max(0, x0 - _CONTEXT), x1 + _CONTEXT))  # fmt: skip


def paste_back(photo: Rgb, piece: Rgb, window: tuple[slice, slice], mask: Mask,
               feather: float) -> Rgb:  # fmt: skip
    """The photo with the re-made window showing through the mask; exact elsewhere."""
    layer = photo.copy()
    layer[window] = piece
    return pasting.composite(photo, layer, pasting.feathered(mask, feather))
