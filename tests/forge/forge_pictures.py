"""Constructed photographs."""

from __future__ import annotations

import cv2
import numpy as np

from vlm_forensics.forge.base import Rgb


def picture(seed: int, height: int = 120, width: int = 150) -> Rgb:
    """Soft colour fields with a bright disc, a dark box and fine grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(30, 220, (5, 6, 3)).astype(np.float32)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    centre = int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65))
    cv2.circle(image, centre, height // 5, (250.0, 240.0, 20.0), cv2.FILLED)
    cv2.rectangle(image, (5, 5), (width // 5, height // 4), (10.0, 20.0, 60.0), cv2.FILLED)
    image += rng.normal(0, 6, image.shape)
    return np.rint(image.clip(0, 255)).astype(np.uint8)
