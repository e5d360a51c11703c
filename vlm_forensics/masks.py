"""Masks and regions: run lengths for the report, connected places out of a heat map."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.errors import InputError
from vlm_forensics.parsing import GRID, Box
from vlm_forensics.report import Mask, Region

_DARK, _BRIGHT = 4, 251
"""Luma at or beyond these counts as clipped."""
_SAMPLE = 500_000
"""Pixels of a region that reliability is judged on, about."""
_TINY_PIXELS = 32 * 32
_SMALL_FRACTION = 0.01
_FLAT_STEP, _SMOOTH_STEP = 0.5, 1.5
"""Mean step between neighbours, gray levels: below the first there is no texture to read."""


def encode(mask: NDArray[np.bool_], threshold: float) -> Mask:
    """The mask as uncompressed COCO run lengths.

    Args:
        mask: `[H, W]` bool, stored grid.
        threshold: the mask value it was cut at, in [0, 1].
    """
    height, width = mask.shape
    column_major = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(column_major[1:] != column_major[:-1]) + 1
    counts = np.diff(np.concatenate(([0], changes, [column_major.size])))
    first = [0] if column_major.size and column_major[0] else []
    return Mask(
        size=(height, width),
        counts=(*first, *counts.tolist()),
        threshold=threshold,
        area_fraction=float(column_major.mean()) if column_major.size else 0.0,
    )


def decode(mask: Mask) -> NDArray[np.bool_]:
    """The bool mask `[H, W]` of these run lengths.

    Raises:
        InputError: bad_report when the runs are negative or do not fill the grid.
    """
    height, width = mask.size
    counts = np.asarray(mask.counts, np.int64)
    if height < 0 or width < 0 or (counts < 0).any() or counts.sum() != height * width:
        raise InputError("bad_report", "the run lengths of the mask do not fill its grid",
                         hint="the report was changed or written by another program")  # fmt: skip
    values = np.arange(counts.size) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def regions(
    heatmap: NDArray[np.float32],
    threshold: float,
    *,
    rgb: NDArray[np.uint8],
    max_regions: int = 5,
    min_area_fraction: float = 0.0005,
) -> list[Region]:
    """The connected places of a heat map, heaviest first, named r1, r2 and so on.

    Args:
        heatmap: `[H, W]` in [0, 1], stored grid.
        threshold: values at or above it are in; 8-neighbours connect.
        rgb: `[H, W, 3]` pixels under the map, from which reliability is judged.
        max_regions: how many to keep.
        min_area_fraction: smaller places are dropped.

    Returns:
        Regions ordered by mass, the sum of map values inside.
    """
    inside = (heatmap >= threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    chosen = inside.view(bool)
    mass = np.bincount(labels[chosen], weights=heatmap[chosen], minlength=count)
    large = stats[:, cv2.CC_STAT_AREA] >= min_area_fraction * heatmap.size
    large[0] = False  # label 0 is the background
    order = [int(i) for i in np.argsort(-mass, kind="stable") if large[i]][:max_regions]
    found = []
    for number, label in enumerate(order, start=1):
        x, y, w, h, area = (int(value) for value in stats[label])
        step = max(1, w * h // _SAMPLE)  # every n-th row is enough to judge a large place
        window = (slice(y, y + h, step), slice(x, x + w))
        found.append(
            Region(
                id=f"r{number}",
                box=(x, y, x + w, y + h),
                area_fraction=area / heatmap.size,
                score=float(np.clip(mass[label] / area, 0, 1)),
                reliability=reliability(rgb[window], labels[window] == label, heatmap.size // step),
            )
        )
    return found


def main_box(inside: NDArray[np.bool_]) -> Box | None:
    """The box of the largest connected place of a mask, in hundredths of its sides."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    x, y, w, h, _ = (int(v) for v in stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))])
    height, width = inside.shape
    corners = (x / width, y / height, (x + w - 1) / width, (y + h - 1) / height)
    x0, y0, x1, y1 = (min(GRID - 1, int(value * GRID)) for value in corners)
    return x0, y0, x1, y1


def reliability(
    rgb: NDArray[np.uint8], inside: NDArray[np.bool_], image_pixels: int
) -> Literal["low", "medium", "high"]:
    """How far low-level traces can be read here.

    Flat, clipped or tiny areas carry no sensor noise or texture, so a map that lights up there
    rests on little.

    Args:
        rgb: `[h, w, 3]` the pixels of the region's box.
        inside: `[h, w]` which of them belong to it.
        image_pixels: pixels of the whole image.
    """
    area = int(inside.sum())
    if area == 0:
        return "low"
    luma = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    clipped = float(((luma <= _DARK) | (luma >= _BRIGHT))[inside].mean())
    step = _mean_step(luma.astype(np.int16), inside)
    if area < _TINY_PIXELS or clipped > 0.5 or step < _FLAT_STEP:
        return "low"
    if area < _SMALL_FRACTION * image_pixels or clipped > 0.2 or step < _SMOOTH_STEP:
        return "medium"
    return "high"


def _mean_step(luma: NDArray[np.int16], inside: NDArray[np.bool_]) -> float:
    """Mean absolute difference of horizontal neighbours that both lie inside, gray levels."""
    both = inside[:, 1:] & inside[:, :-1]
    return float(np.abs(np.diff(luma, axis=1))[both].mean()) if both.any() else 0.0
