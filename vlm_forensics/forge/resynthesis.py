"""Round trips through a network, which the re-synthesis operations share."""

from __future__ import annotations

import cv2
import numpy as np

from vlm_forensics.forge import networks
from vlm_forensics.forge.base import Params, Rgb

_NETWORK_ODDS = {"compact_x2": 0.35, "compact_x3": 0.25, "compact_x4": 0.15, "dense6_x4": 0.15,
                 "dense23_x4": 0.1}  # fmt: skip
"""The dense networks add variety and cost ten times as much."""
_SHRINKERS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


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
    """The image after one or two trips through the autoencoder.

    Its cells start at a random offset, as they do in a picture that was cropped after generation.
    """
    trips = 1 if rng.random() < 0.8 else 2
    x, y = (int(offset) for offset in rng.integers(0, networks.CELL, 2))
    made = cv2.copyMakeBorder(image, y, 0, x, 0, cv2.BORDER_REFLECT_101)
    for _ in range(trips):
        made = networks.autoencode(made)
    return made[y:, x:], {
        "network": networks.autoencoder_name(),
        "trips": trips,
        "offset_x": x,
        "offset_y": y,
    }
