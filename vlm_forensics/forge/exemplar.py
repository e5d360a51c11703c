"""Filling a hole with patches of the surroundings (Criminisi et al. 2004, IEEE TIP 13(9))."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.forge.base import Mask, Rgb
from vlm_forensics.forge.pasting import bounding_box

_REACH = 48
"""How far around a patch its match is sought, pixels."""


def fill(photo: Rgb, hole: Mask, rng: np.random.Generator) -> Rgb | None:
    """The photo with the hole filled; None if no whole patch lies near enough to copy.

    The rim is filled in the order of confidence times edge strength, each time with the patch
    nearby that agrees best with the pixels already known.
    """
    half = int(np.clip(min(photo.shape[:2]) // 48, 4, 9)) + int(rng.integers(0, 3))
    x0, y0, x1, y1 = bounding_box(hole)
    margin = _REACH + 2 * half
    window = np.s_[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin]
    work = cv2.copyMakeBorder(photo[window], half, half, half, half, cv2.BORDER_REFLECT)
    todo = np.pad(hole[window], half)
    if not _fill_window(work, todo, half):
        return None
    filled = photo.copy()
    filled[window] = work[half:-half, half:-half]
    filled[~hole] = photo[~hole]
    return filled


def _fill_window(work: Rgb, todo: Mask, half: int) -> bool:
    """Fills `work` in place; False when a patch finds no match."""
    side = 2 * half + 1
    # Top left corners of patches that hold no pixel of the hole.
    sources = cv2.boxFilter(todo.astype(np.float32), -1, (side, side), normalize=False,
                            borderType=cv2.BORDER_CONSTANT) < 0.5  # fmt: skip
    sources = sources[half:-half, half:-half]
    edges = _edge_strength(work)
    while todo.any():
        y, x = _next_centre(todo, edges, side)
        patch = np.s_[y - half : y + half + 1, x - half : x + half + 1]
        match = _best_match(work, todo[patch], sources, (y - half, x - half))
        if match is None:
            return False
        v, u = match
        missing = todo[patch].copy()
        work[patch][missing] = work[v : v + side, u : u + side][missing]
        edges[patch][missing] = edges[v : v + side, u : u + side][missing]
        todo[patch] = False
    return True


def _edge_strength(image: Rgb) -> NDArray[np.float32]:
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    strength: NDArray[np.float32] = np.hypot(cv2.Sobel(luma, -1, 1, 0), cv2.Sobel(luma, -1, 0, 1))
    return strength


def _next_centre(todo: Mask, edges: NDArray[np.float32], side: int) -> tuple[int, int]:
    """The rim pixel whose patch is best known and crosses the strongest edge."""
    known = (~todo).astype(np.float32)
    rim = todo & (cv2.dilate(known, np.ones((3, 3))) > 0)
    confidence = cv2.blur(known, (side, side))
    strength = cv2.blur(np.where(todo, 0, edges), (5, 5))
    priority = np.where(rim, confidence * (strength + 20), -1)
    y, x = np.unravel_index(int(priority.argmax()), priority.shape)
    return int(y), int(x)


def _best_match(
    work: Rgb, missing: Mask, sources: Mask, corner: tuple[int, int]
) -> tuple[int, int] | None:
    """Top left corner of the source patch that agrees best with the known pixels."""
    side = missing.shape[0]
    top, left = max(0, corner[0] - _REACH), max(0, corner[1] - _REACH)
    area = work[top : corner[0] + side + _REACH, left : corner[1] + side + _REACH]
    allowed = sources[top : top + area.shape[0] - side + 1, left : left + area.shape[1] - side + 1]
    if not allowed.any():
        return None
    template = work[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
    weights = np.repeat((~missing).astype(np.float32)[..., None], 3, axis=2)
    distance = cv2.matchTemplate(area.astype(np.float32), template.astype(np.float32),
                                 cv2.TM_SQDIFF, mask=weights)  # fmt: skip
    best = int(np.where(allowed, distance, np.inf).argmin())
    v, u = np.unravel_index(best, distance.shape)
    return top + int(v), left + int(u)
