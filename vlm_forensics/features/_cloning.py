"""Search for pairs of equal areas inside one image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Gray = NDArray[np.uint8]
Box = tuple[int, int, int, int]

_KEYPOINTS = 2500
_RATIO = 0.6
"""Best over second-best distance: above it the match is one of many (texture)."""
_FARTHEST = 250.0
"""Largest SIFT descriptor distance of a copy (descriptors have length 512)."""
_FEWEST = 5
_CORRELATION = 0.85
_SHARED = 0.3
"""Largest share of an area that may lie in its copy."""
_CLONES = 4
_SCALES = 0.4, 2.5
_WINDOW = 7, 7


@dataclass(frozen=True, slots=True)
class Clone:
    """Two areas of equal content."""

    matches: float
    a: Box
    b: Box
    area: NDArray[np.bool_]
    """`[H, W]`, both areas."""


def least_offset(shape: tuple[int, ...]) -> float:
    """Shortest distance between an area and its copy, pixels: nearer ones are self-similarity."""
    return float(max(16.0, 0.04 * max(shape)))


def keypoint_clones(gray: Gray) -> list[Clone]:
    """Pairs of areas tied by SIFT matches under one similarity transform each.

    Args:
        gray: `[H, W]`.
    """
    source, target = _self_matches(gray)
    cv2.setRNGSeed(0)
    clones: list[Clone] = []
    while len(source) >= _FEWEST and len(clones) < _CLONES:
        transform, chosen = cv2.estimateAffinePartial2D(
            source, target, ransacReprojThreshold=3, maxIters=2000, confidence=0.999
        )
        if transform is None or np.count_nonzero(chosen) < _FEWEST:
            break
        inlier = chosen.ravel().astype(bool)
        clone = _verified(gray, source[inlier], target[inlier], transform)
        if clone is not None:
            clones.append(clone)
        source, target = source[~inlier], target[~inlier]
    return clones


def _self_matches(gray: Gray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points `[n, 2]` and their best match elsewhere, each pair once (x of the first smaller)."""
    none = np.zeros((0, 2), np.float32)
    # Half the usual contrast threshold: copies are small and often lie in quiet areas.
    points, descriptors = cv2.SIFT.create(_KEYPOINTS, contrastThreshold=0.02).detectAndCompute(
        gray, None
    )
    if descriptors is None or len(points) < 2 * _FEWEST:
        return none, none
    place = np.array([point.pt for point in points], np.float32)
    best, distance, ratio = _nearest(place, descriptors, least_offset(gray.shape))
    good = (distance < _FARTHEST) & (ratio < _RATIO)
    pairs = np.sort(np.stack([np.flatnonzero(good), best[good]], axis=1), axis=1)
    first = place[:, 0] * 65536 + place[:, 1]
    swap = first[pairs[:, 0]] > first[pairs[:, 1]]
    pairs[swap] = pairs[swap][:, ::-1]
    quads = np.unique(np.hstack([place[pairs[:, 0]], place[pairs[:, 1]]]).round(), axis=0)
    quads = quads.reshape(-1, 4).astype(np.float32)
    return np.ascontiguousarray(quads[:, :2]), np.ascontiguousarray(quads[:, 2:])


def _nearest(
    place: NDArray[np.float32], descriptors: NDArray[np.float32], least: float
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]:
    """Index and distance of the best match beyond `least` pixels, and its ratio to the next.

    Matches around the best one do not count as the next: one point gives several keypoints.
    """
    norm = np.einsum("nd,nd->n", descriptors, descriptors)
    square = norm[:, None] + norm - 2 * descriptors @ descriptors.T
    x, y = place.T
    square[(x[:, None] - x) ** 2 + (y[:, None] - y) ** 2 < least**2] = np.inf
    few = np.argpartition(square, min(8, len(square) - 1), axis=1)[:, :8]
    near = np.take_along_axis(square, few, axis=1)
    order = np.argsort(near, axis=1, kind="stable")
    few, near = np.take_along_axis(few, order, axis=1), np.take_along_axis(near, order, axis=1)
    distance = np.sqrt(np.maximum(near, 0)).astype(np.float32)
    best = few[:, 0]
    apart = np.hypot(x[few] - x[best][:, None], y[few] - y[best][:, None]) > 8
    other = np.where(apart, distance, np.inf).min(axis=1)
    first = np.where(np.isfinite(distance[:, 0]), distance[:, 0], np.inf)
    ratio = np.where(np.isfinite(first), first / np.maximum(other, 1e-6), 1)
    return best, first, ratio.astype(np.float32)


def _verified(
    gray: Gray,
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    transform: NDArray[np.float64],
) -> Clone | None:
    """The clone, if the pixels between the matched points agree too.

    Repeated structure (windows, stripes) gives matching points, seldom equal pixels in between.
    """
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    moved = np.linalg.norm(np.median(target - source, axis=0))
    if not _SCALES[0] < scale < _SCALES[1] or moved < least_offset(gray.shape):
        return None
    height, width = gray.shape
    hull = np.zeros(gray.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(source.round().astype(np.int32)), 1)
    there = cv2.warpAffine(hull, transform, (width, height), flags=cv2.INTER_NEAREST) > 0
    if np.count_nonzero(hull) < 64 or np.count_nonzero(there) < 64:
        return None
    moved_pixels = cv2.warpAffine(gray, transform, (width, height), flags=cv2.INTER_LINEAR)
    if _correlation(moved_pixels[there], gray[there]) < _CORRELATION:
        return None
    if np.count_nonzero(there & (hull > 0)) > _SHARED * np.count_nonzero(there):
        return None
    there = _grown(there, moved_pixels, gray)
    back = cv2.warpAffine(
        there.astype(np.uint8), transform, (width, height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )  # fmt: skip
    here = (back > 0) | (hull > 0)
    if _occurrences(gray, _box(hull > 0)) > 2:
        return None
    return Clone(float(len(source)), _box(here), _box(there), here | there)


def _grown(seed: NDArray[np.bool_], moved: Gray, gray: Gray) -> NDArray[np.bool_]:
    """The matched area with the equal pixels around it, up to its own size on each side.

    Matched points seldom reach the border of what was copied.
    """
    x0, y0, x1, y1 = _box(seed)
    reach = max(x1 - x0, y1 - y0)
    near = np.zeros_like(seed)
    near[max(0, y0 - reach) : y1 + reach, max(0, x0 - reach) : x1 + reach] = True
    a, b = moved.astype(np.float32), gray.astype(np.float32)
    mean = cv2.blur(b, _WINDOW)
    spread = np.sqrt(np.maximum(cv2.blur(b * b, _WINDOW) - mean * mean, 0))
    # Scaling and turning blur the copy: more difference is let pass where there is more texture.
    equal = cv2.blur(np.abs(a - b), _WINDOW) < 0.4 * spread + 2
    opened = ndimage.binary_opening(equal & near, np.ones((7, 7)))
    labels, _ = ndimage.label(opened)
    touched = np.unique(labels[seed & opened])
    return np.asarray(seed | np.isin(labels, touched[touched > 0]))


def _correlation(first: Gray, second: Gray) -> float:
    spread = float(first.std() * second.std())
    if spread < 4:
        return 0.0
    a, b = first.astype(np.float64), second.astype(np.float64)
    return float(np.mean((a - a.mean()) * (b - b.mean())) / spread)


def _box(area: NDArray[np.bool_]) -> Box:
    rows, cols = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1


_BLOCK = 12
_ALIKE = 3
"""Neighbours in the sorted order that each block is compared with."""
_VOTES = 60
_AREA = 18 * 18
_FLAT = 3.0
"""Standard deviation, grey levels, below which a block repeats by chance."""
_SHIFTS = 5
_TEMPLATE = 32
_SAME = 0.9
"""Correlation from which a place shows the same content; a third place means a pattern."""
_RIVALS = 3
"""Distinct shifts with half the votes of the best: so many mean a repeating texture."""


def dense_clone(gray: Gray) -> list[Clone]:
    """The largest area repeated under one shift, or nothing.

    Blocks are sorted by their quantised low frequencies, equal neighbours vote for their shift,
    and the shifts with most votes are checked pixel by pixel.

    Args:
        gray: `[H, W]`, both sides at least 32.
    """
    for dx, dy in _voted_shifts(gray):
        clone = _shift_clone(gray, dx, dy)
        if clone is not None:
            return [clone]
    return []


def _signatures(gray: Gray) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Low-frequency coefficients `[8, H', W']` of every block, and which blocks have texture."""
    image = gray.astype(np.float32)
    phase = np.pi * (np.arange(_BLOCK) + 0.5) / _BLOCK
    waves = [np.cos(order * phase).astype(np.float32) / _BLOCK for order in range(3)]
    low = [
        cv2.sepFilter2D(image, -1, waves[u], waves[v], borderType=cv2.BORDER_REFLECT)
        for u in range(3)
        for v in range(3)
        if u + v
    ]
    size = (_BLOCK, _BLOCK)
    mean, square = cv2.blur(image, size), cv2.blur(image * image, size)
    inside = slice(_BLOCK // 2, -_BLOCK // 2)
    textured = (square - mean * mean > _FLAT**2)[inside, inside]
    return np.stack(low)[:, inside, inside], textured


def _voted_shifts(gray: Gray) -> list[tuple[int, int]]:
    """Shifts `(dx, dy)` with most votes, dy ≥ 0."""
    low, textured = _signatures(gray)
    rows, cols = np.nonzero(textured)
    if len(rows) < _VOTES:
        return []
    values = low[:, rows, cols]
    order = np.lexsort(np.round(values[::-1]))
    width = gray.shape[1]
    votes = np.zeros((gray.shape[0], 2 * width), np.int64)
    for step in range(1, _ALIKE + 1):
        a, b = order[:-step], order[step:]
        close = np.abs(values[:, a] - values[:, b]).max(axis=0) < 0.8
        dy, dx = rows[b[close]] - rows[a[close]], cols[b[close]] - cols[a[close]]
        sign = np.where((dy < 0) | ((dy == 0) & (dx < 0)), -1, 1)
        dy, dx = dy * sign, dx * sign
        far = dy**2 + dx**2 >= least_offset(gray.shape) ** 2
        np.add.at(votes, (dy[far], dx[far] + width), 1)
    return _strongest(votes)


def _strongest(votes: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Shifts with most votes in `[dy, dx + W]`; none if many different ones are about as strong."""
    middle = votes.shape[1] // 2
    peaks = (votes == ndimage.maximum_filter(votes, 5)) & (votes >= _VOTES)
    dy, dx = np.nonzero(peaks)
    order = np.argsort(-votes[dy, dx], kind="stable")
    ranked = votes[dy, dx][order]
    if len(ranked) and np.count_nonzero(ranked[1:] >= 0.5 * ranked[0]) >= _RIVALS:
        return []
    return [(int(dx[at]) - middle, int(dy[at])) for at in order[:_SHIFTS]]


def _shift_clone(gray: Gray, dx: int, dy: int) -> Clone | None:
    """The largest textured area equal to the image shifted by `(dx, dy)`."""
    height, width = gray.shape
    here = gray[: height - dy, max(0, -dx) : width - max(0, dx)].astype(np.float32)
    there = gray[dy:, max(0, dx) : width + min(0, dx)].astype(np.float32)
    difference = cv2.blur(np.abs(here - there), _WINDOW)
    mean = cv2.blur(here, _WINDOW)
    spread = np.sqrt(np.maximum(cv2.blur(here * here, _WINDOW) - mean * mean, 0))
    equal = difference < np.minimum(0.25 * spread + 0.3, 5)
    labels, count = ndimage.label(ndimage.binary_opening(equal, np.ones((5, 5))))
    if not count:
        return None
    sizes = ndimage.sum_labels(spread > 1.5, labels, np.arange(1, count + 1))
    best = int(np.argmax(sizes))
    part = labels == best + 1
    if sizes[best] < _AREA or np.std(here[part]) < _FLAT:
        return None
    clone = _placed(part, gray.shape, dx, dy)
    if _occurrences(gray, clone.a) > 2:
        return None
    shared = 2 * np.count_nonzero(part) - np.count_nonzero(clone.area)
    return clone if shared <= _SHARED * np.count_nonzero(part) else None


def _occurrences(gray: Gray, box: Box) -> int:
    """How often the middle of this box is found in the image, itself included."""
    (x0, y0, x1, y1), half = box, _TEMPLATE // 2
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    template = gray[max(y0, y - half) : min(y1, y + half), max(x0, x - half) : min(x1, x + half)]
    if template.std() < _FLAT:
        return 0  # an even area is found everywhere; what decides then is the texture around it
    score = cv2.matchTemplate(gray, template, cv2.TM_CCOEFF_NORMED)
    peaks = (score == ndimage.maximum_filter(score, 9)) & (score > _SAME)
    return int(ndimage.label(peaks, np.ones((3, 3)))[1])


def _placed(part: NDArray[np.bool_], shape: tuple[int, ...], dx: int, dy: int) -> Clone:
    height, width = shape
    first, second = np.zeros(shape, bool), np.zeros(shape, bool)
    first[: height - dy, max(0, -dx) : width - max(0, dx)] = part
    second[dy:, max(0, dx) : width + min(0, dx)] = part
    matches = float(np.count_nonzero(part)) / 64
    return Clone(matches, _box(first), _box(second), first | second)
