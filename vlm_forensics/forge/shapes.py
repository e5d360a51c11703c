"""Regions to alter: objects found in the photograph, smooth blobs, polygons, ellipses, strokes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.forge.base import Mask, Rgb

OUTLINES = ("blob", "polygon", "ellipse", "rectangle")
_OUTLINE_ODDS = (0.5, 0.2, 0.2, 0.1)
_SEGMENT_ODDS = 0.4
_RECTANGLES = 4
_SEARCH_SIDE = 128
"""Objects and edges are sought on a small copy; the outline is smoothed on the way back up."""


def draw_region(photo: Rgb, area: float, rng: np.random.Generator) -> tuple[Mask, str]:
    """A region of about `area` (a share), and its kind: follows edges or ignores the content."""
    if rng.random() < _SEGMENT_ODDS:
        return draw_segment(photo, area, rng), "segment"
    kind = str(rng.choice(OUTLINES, p=_OUTLINE_ODDS))
    return draw_outline(kind, photo.shape[:2], area, rng), kind


def draw_segment(photo: Rgb, area: float, rng: np.random.Generator) -> Mask:
    """A watershed basin between edges of the photo (Meyer 1992), roughly of size `area`.

    Basins grow from jittered seeds, one for each part of that size.
    """
    small = _small_copy(photo)
    height, width = small.shape[:2]
    columns = max(2, round(np.sqrt(width / height / area)))
    rows = max(2, round(np.sqrt(height / width / area)))
    seeds = np.zeros((height, width), np.int32)
    for label in range(rows * columns):
        y, x = divmod(label, columns)
        v = (y + rng.uniform(0.15, 0.85)) * height / rows
        u = (x + rng.uniform(0.15, 0.85)) * width / columns
        cv2.circle(seeds, (int(u), int(v)), 2, label + 1, cv2.FILLED)
    smooth = cv2.medianBlur(small, 5)
    basins = cv2.watershed(np.ascontiguousarray(smooth), seeds)
    chosen = basins == rng.integers(1, rows * columns + 1)
    # The watershed's own lines are one pixel of nobody's land.
    chosen = cv2.dilate(chosen.astype(np.uint8), np.ones((3, 3)))
    return _enlarge(chosen, photo.shape[:2])


def draw_outline(kind: str, size: tuple[int, int], area: float, rng: np.random.Generator) -> Mask:
    """A filled outline of `kind` at a random place, moved inside the frame where it fits."""
    points = _unit_outline(kind, rng) * np.sqrt(area * size[0] * size[1])
    return _fill(_settle(points, size, rng), size)


def draw_face(size: tuple[int, int], area: float, rng: np.random.Generator) -> Mask:
    """An upright ellipse near the middle, where portraits hold the face."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    aspect = rng.uniform(1.15, 1.5)
    points = np.stack([np.cos(angles) / np.sqrt(aspect), np.sin(angles) * np.sqrt(aspect)], axis=1)
    points *= np.sqrt(area * size[0] * size[1] / np.pi)
    centre = np.array(size[::-1]) * rng.uniform([0.35, 0.3], [0.65, 0.6])
    return _fill(points + centre, size)


def draw_strokes(size: tuple[int, int], area: float, rng: np.random.Generator) -> Mask:
    """Thin wavy strokes, like a wire or a scratch painted away, up to about `area`."""
    mask = np.zeros(size, np.uint8)
    side = min(size)
    for _ in range(40):
        if mask.mean() >= area:
            break
        start = rng.uniform(0.1, 0.9, 2) * size[::-1]
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, 14))
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * side * rng.uniform(0.03, 0.08)
        line = np.rint(start + np.cumsum(steps, axis=0)).astype(np.int32)
        thickness = int(rng.integers(max(3, side // 60), max(5, side // 22)))
        cv2.polylines(mask, [line[:, None]], False, 1, thickness)
    return mask.astype(bool)


def find_object(photo: Rgb, rng: np.random.Generator) -> Mask | None:
    """An object inside a random rectangle by GrabCut (Rother et al. 2004); None if none is found.

    A cut is taken for an object when it fills a fair part of the rectangle, is compact and mostly
    keeps clear of the rectangle's rim. Four rectangles are tried.
    """
    small = _small_copy(photo)
    for _ in range(_RECTANGLES):
        box = _random_box(small.shape[:2], rng)
        found = _grab(small, box, int(rng.integers(2**31 - 1)))
        if _is_object(found, box):
            return _enlarge(found, photo.shape[:2])
    return None


def _small_copy(photo: Rgb) -> Rgb:
    height, width = photo.shape[:2]
    shrink = min(1.0, _SEARCH_SIDE / max(height, width))
    size = max(16, round(width * shrink)), max(16, round(height * shrink))
    small: Rgb = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return small


def _enlarge(mask: Mask, size: tuple[int, int]) -> Mask:
    """The mask at full size with its staircase smoothed away."""
    smooth = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)
    large = cv2.resize(smooth, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(large >= 0.5)


def _random_box(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Half the time around the middle, else anywhere; (x, y, w, h)."""
    height, width = size
    w, h = (int(side * rng.uniform(0.25, 0.75)) for side in (width, height))
    if rng.random() < 0.5:
        return (width - w) // 2, (height - h) // 2, w, h
    return int(rng.integers(1, width - w)), int(rng.integers(1, height - h)), w, h


def _grab(image: Rgb, box: tuple[int, int, int, int], seed: int) -> Mask:
    """The largest connected foreground part, holes filled."""
    # GrabCut starts its colour clusters from OpenCV's own generator.
    cv2.setRNGSeed(seed)
    trimap = np.zeros(image.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(image, trimap, box, *models, 3, cv2.GC_INIT_WITH_RECT)
    except cv2.error:
        # A rectangle of one flat colour leaves a cluster empty.
        return np.zeros(image.shape[:2], bool)
    found = ((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(found)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return np.asarray(filled, bool)


def _is_object(mask: Mask, box: tuple[int, int, int, int]) -> bool:
    x, y, w, h = box
    inside = mask[y : y + h, x : x + w]
    if not 0.15 <= inside.mean() <= 0.85:
        return False
    rim = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL,
                                   cv2.CHAIN_APPROX_NONE)  # fmt: skip
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    return bool(rim.mean() < 0.42 and mask.sum() >= 0.5 * hull)


def _unit_outline(kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points `[n, 2]` of a closed outline of area 1 around the origin, stretched and turned."""
    if kind == "rectangle":
        points = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    elif kind == "polygon":
        angles = np.sort(_spread_angles(int(rng.integers(4, 10)), rng))
        points = _polar(angles, rng.uniform(0.6, 1.3, len(angles)))
    else:
        angles = np.linspace(0, 2 * np.pi, 128, endpoint=False)
        radii = np.ones_like(angles) if kind == "ellipse" else _wavy(angles, rng)
        points = _polar(angles, radii)
    stretch = np.sqrt(rng.uniform(0.5, 2.0))
    points *= [stretch, 1 / stretch]
    # Pasted rectangles are mostly upright; everything else may lie at any angle.
    turn = rng.normal(0, 0.1) if kind == "rectangle" else rng.uniform(0, 2 * np.pi)
    c, s = np.cos(turn), np.sin(turn)
    points = points @ np.array([[c, -s], [s, c]])
    unit: NDArray[np.float64] = points / np.sqrt(_shoelace(points))
    return unit


def _spread_angles(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return (np.arange(count) + rng.uniform(-0.35, 0.35, count)) * 2 * np.pi / count


def _wavy(angles: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Radii of a blob: low harmonics with falling amplitude, kept well above zero."""
    radii = np.ones_like(angles)
    for k in range(2, 8):
        amplitude = rng.normal(0, 0.35 / k)
        radii += amplitude * np.cos(k * angles + rng.uniform(0, 2 * np.pi))
    return np.maximum(radii, 0.35)


def _polar(angles: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _shoelace(points: NDArray[np.float64]) -> float:
    x, y = points.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _settle(
    points: NDArray[np.float64], size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The outline at a random place, whole in the frame if it fits, else centred."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array(size[::-1]) - 1 - (high - low)
    share = np.where(room > 0, rng.uniform(0, 1, 2), 0.5)
    settled: NDArray[np.float64] = points - low + room * share
    return settled


def _fill(points: NDArray[np.float64], size: tuple[int, int]) -> Mask:
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)[:, None]], 1)
    return mask.astype(bool)
