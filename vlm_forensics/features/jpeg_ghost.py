"""JPEG ghosts: areas compressed before at another quality than the rest."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features._sampling import Sample, number
from vlm_forensics.features.base import Family, Feature, FloatMap, Measurement, Pixels
from vlm_forensics.features.jpeg_quantisation import match_tables

QUALITIES = tuple(range(31, 100, 4))
"""Re-save qualities; a ghost shows up at the nearest ones."""
DIP = 0.5
"""Depth (log2) from which a cell counts as ghost."""
_CELL = 16
_BUDGET = 600_000
_FLOOR = 0.1
_CONTENT = 0.0
"""Largest change (log2) of a cell below which it is too even to hold a ghost."""
_REACH = 2
"""Qualities, counted in `QUALITIES`, on each side that a ghost must undercut: one between two
re-save qualities lowers both."""


def difference_curves(sample: Sample) -> NDArray[np.float32]:
    """log2 change of each cell at each quality, `[len(QUALITIES), rows, cols]`.

    The change is its variance inside each 8x8 unit: the mean of a unit jumps with the rounding of
    a single coefficient, which makes false ghosts of flat areas.
    """
    height, width = (side // 8 * 8 for side in sample.rgb.shape[:2])
    gray = cv2.cvtColor(np.ascontiguousarray(sample.rgb[:height, :width]), cv2.COLOR_RGB2GRAY)
    rows, cols = sample.grid or (max(1, height // _CELL), max(1, width // _CELL))
    plain, curves = gray.astype(np.float32), []
    for quality in QUALITIES:
        _, data = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, quality])
        again = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
        change = plain - again.astype(np.float32)
        units = width // 8, height // 8
        mean = cv2.resize(change, units, interpolation=cv2.INTER_AREA)
        square = cv2.resize(change * change, units, interpolation=cv2.INTER_AREA)
        cells = cv2.resize(square - mean * mean, (cols, rows), interpolation=cv2.INTER_AREA)
        curves.append(np.maximum(cells.reshape(rows, cols), 0))
    return np.asarray(np.log2(np.stack(curves) + _FLOOR), np.float32)


def dips(curves: NDArray[Any], last: int | None = None) -> NDArray[np.float32]:
    """Depth ≥ 0 of each local minimum of the curves beyond the one the whole image shares.

    Without an earlier compression the change falls steadily as quality rises, so that a value
    below those on both sides is a ghost. Where the median cell dips as well, the quality is that
    of the whole image's own earlier compression, and it is left out with its neighbours.

    Args:
        curves: `[Q, rows, cols]` from `difference_curves`.
        last: Quality of the last compression if the file tells it; left out likewise.

    Returns:
        `[Q - 4, rows, cols]`, for the inner qualities.
    """
    depth = np.minimum(curves[: -2 * _REACH], curves[2 * _REACH :]) - curves[_REACH:-_REACH]
    telling = curves.max(axis=0) > _CONTENT
    depth[:, ~telling] = 0
    if not telling.any():
        return np.zeros_like(depth)
    shared = np.median(depth[:, telling], axis=1)
    inner = np.array(QUALITIES[_REACH:-_REACH])
    own = cv2.dilate(shared[None], np.ones((1, 2 * _REACH + 1), np.uint8))[0] > DIP / 2
    if last is not None:
        own |= np.abs(inner - last) <= _REACH * (inner[1] - inner[0])
    depth[own] = 0
    return np.asarray(np.maximum(depth - np.maximum(shared, 0)[:, None, None], 0), np.float32)


class JpegGhost(Feature):
    """Share of the image that carries a JPEG ghost."""

    name: ClassVar[str] = "jpeg_ghost"
    title: ClassVar[str] = "JPEG ghost"
    family: ClassVar[Family] = "compression"
    detects: ClassVar[str] = (
        "Areas compressed earlier at a lower quality than the rest: re-saved at that quality they "
        "change least (Farid, Exposing digital forgeries from JPEG ghosts, TIFS 2009)."
    )
    look_for: ClassVar[str] = "A closed area, the shape of an object, with a ghost of one quality."
    ignore: ClassVar[str] = "Single scattered cells, flat and saturated areas."
    caution: ClassVar[str] = (
        "Seen only if the area kept its place on the 8x8 grid, was compressed harder than the "
        "whole image later, and was not resized. Above 0.6 MP it is read from native tiles."
    )

    def measure(self, image: Pixels) -> Measurement:
        """Share of cells with a ghost, its depth (log2) and the commonest ghost quality."""
        last = match_tables(image.quantization).quality if image.quantization else None
        depth = dips(difference_curves(Sample.of(image.rgb, _BUDGET)), last)
        strongest = _smooth(depth.max(axis=0))
        ghost = strongest > DIP
        share = float(ghost.mean())
        quality = 0.0
        if ghost.any():
            votes = np.bincount(depth.argmax(axis=0)[ghost], minlength=depth.shape[0])
            quality = float(QUALITIES[_REACH + int(np.argmax(votes))])
        text = f"JPEG ghosts cover {number(share * 100)} % of the image"
        text += f", mostly of a quality near {number(quality)}." if quality else "."
        values = {
            "percent": share * 100,
            "depth": float(np.percentile(strongest, 99)),
            "quality": quality,
        }
        return Measurement(self.name, values, text, strongest)


def _smooth(response: FloatMap) -> FloatMap:
    """Median of 3x3 cells: a ghost is an area, and single cells dip by chance."""
    return np.asarray(cv2.medianBlur(response, 3), np.float32)
