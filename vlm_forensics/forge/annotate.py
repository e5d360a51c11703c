"""What is known about a forged sample, as plain data."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from vlm_forensics.forge.base import ForgedSample, Mask

GRID = 100
"""Boxes are given in cells of a 100 by 100 grid, so that a coordinate is two digits."""
_MIN_SHARE = 0.05
_MAX_BOXES = 4


def describe(sample: ForgedSample) -> dict[str, Any]:
    """Operation, label, boxes (largest first) and parameters of a sample.

    A box is `[x0, y0, x1, y1]`, both ends inclusive, each in 0…99.
    """
    return {
        "operation": str(sample.operation),
        "label": str(sample.label),
        "boxes": mask_boxes(sample.mask),
        "params": dict(sample.params),
    }


def mask_boxes(mask: Mask) -> list[list[int]]:
    """Grid boxes of the mask's connected parts, specks (below 5 % of the mask) left out."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    parts = sorted((stats[i] for i in range(1, count)), key=lambda part: -int(part[4]))
    kept = [part for part in parts if part[4] >= _MIN_SHARE * mask.sum()][:_MAX_BOXES]
    return [_grid_box(part, mask.shape[0], mask.shape[1]) for part in kept]


def _grid_box(part: np.ndarray[Any, Any], height: int, width: int) -> list[int]:
    x, y, w, h = (int(value) for value in part[:4])
    last_x, last_y = ((x + w) * GRID - 1) // width, ((y + h) * GRID - 1) // height
    return [x * GRID // width, y * GRID // height, last_x, last_y]
