"""How a feature differs inside and outside a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features.base import FloatMap, Measurement

_MOSTLY = 0.5
_HARDLY = 0.1
_TRIM = 0.1


class Contrast(NamedTuple):
    """A feature's level inside and outside a mask, in the units of its map."""

    inside: float
    """Trimmed mean of the cells inside."""
    outside: float
    log2_ratio: float
    """log2(inside / outside), both raised by 1 % of the map's mean so that it stays finite."""
    effect: float
    """Difference over the pooled deviation of the cells (1.4826 * MAD within each side)."""
    cells: int
    """Cells inside; one or two are a weak basis."""


def contrast(
    measurements: Mapping[str, Measurement], mask: NDArray[np.bool_]
) -> dict[str, Contrast]:
    """Contrast of each feature with a map.

    Args:
        measurements: As `measure_all` returns them.
        mask: `[H, W]`, the image's size; True inside.

    Returns:
        By feature name. A feature is missing if it has no map, or if its map is too coarse to have
        a cell on either side of the mask.
    """
    found: dict[str, Contrast] = {}
    solid = mask.astype(np.float32)
    covers: dict[tuple[int, ...], FloatMap] = {}  # many maps have the same cells
    for name, measurement in measurements.items():
        if measurement.map is not None:
            shape = measurement.map.shape
            if shape not in covers:
                covers[shape] = _cover(solid, shape)
            result = _of_map(measurement.map, covers[shape])
            if result is not None:
                found[name] = result
    return found


def _cover(solid: FloatMap, shape: tuple[int, ...]) -> FloatMap:
    """Share of each cell that lies inside; `solid` is the mask as 0 and 1."""
    rows, cols = shape
    cover = cv2.resize(solid, (cols, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cover, np.float32).reshape(rows, cols)


def _of_map(response: FloatMap, cover: FloatMap) -> Contrast | None:
    # A mask smaller than a cell is judged by the cells that hold most of it.
    within = response[cover >= min(_MOSTLY, 0.8 * max(float(cover.max()), 1e-9))]
    beyond = response[cover <= _HARDLY]
    if not cover.any() or not within.size or not beyond.size:
        return None
    inside, outside = _level(within), _level(beyond)
    floor = 0.01 * float(response.mean()) + 1e-6
    residue = np.concatenate([within - np.median(within), beyond - np.median(beyond)])
    spread = 1.4826 * float(np.median(np.abs(residue)))
    return Contrast(
        inside,
        outside,
        float(np.log2((inside + floor) / (outside + floor))),
        (inside - outside) / max(spread, floor),
        int(within.size),
    )


def _level(cells: NDArray[np.float32]) -> float:
    """Mean without the lowest and highest tenth."""
    ordered = np.sort(cells)
    cut = int(len(ordered) * _TRIM)
    return float(ordered[cut : len(ordered) - cut].mean(dtype=np.float64))
