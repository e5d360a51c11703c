"""Pairs of equal areas inside one image: candidates, each checked pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features._clone_candidates import (
    Box,
    Candidate,
    Gray,
    Transform,
    evened,
    keypoint_candidates,
    least_offset,
    window_candidates,
)

__all__ = ["Clone", "find_clones"]

_Rgb = NDArray[np.uint8]
_Floats = NDArray[np.float32]
_Mask = NDArray[np.bool_]

_WINDOWED = 90_000
"""Pixels searched window by window; larger images are scaled down to it."""
_CLONES = 4
_MATCH = 64
"""Textured pixels that agree count as one match for each of these."""
_SHARED = 0.3
"""Largest share of an area that may lie in its copy."""


@dataclass(frozen=True, slots=True)
class Clone:
    """Two areas of equal content."""

    matches: float
    a: Box
    b: Box
    area: _Mask
    """`[H, W]`, both areas."""


def find_clones(rgb: _Rgb) -> list[Clone]:
    """Pairs of areas that are equal but for compression and resampling, strongest first.

    Args:
        rgb: `[H, W, 3]`.
    """
    gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    picture = _Picture(rgb.astype(np.float32), gray.astype(np.float32), evened(gray)[0])
    clones: list[Clone] = []
    for candidate in [*_scaled_windows(gray, picture.texture), *keypoint_candidates(gray)]:
        clone = _checked(picture, candidate)
        if clone is not None and not any(_same(clone, other) for other in clones):
            clones.append(clone)
        if len(clones) == _CLONES:
            break
    return sorted(clones, key=lambda clone: -clone.matches)


@dataclass(frozen=True, slots=True)
class _Picture:
    rgb: _Floats
    light: _Floats
    texture: _Floats
    """Detail at equal contrast, see `evened`."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.light.shape[0], self.light.shape[1]


def _scaled_windows(gray: Gray, texture: _Floats) -> list[Candidate]:
    """`window_candidates` of the image at the size that they can afford."""
    scale = min(1.0, (_WINDOWED / gray.size) ** 0.5)
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = window_candidates(np.asarray(small, np.uint8))
    if scale == 1:
        return found
    zoom = np.array([1, 1, 1 / scale])
    reach = int(np.ceil(1 / scale)) + 1
    grown = (
        Candidate(candidate.transform * zoom, _box_of([edge / scale for edge in candidate.box]))
        for candidate in found
    )
    return [_snapped(texture, candidate, reach) for candidate in grown]


def _box_of(edges: list[float]) -> Box:
    x0, y0, x1, y1 = (round(edge) for edge in edges)
    return x0, y0, x1, y1


def _snapped(texture: _Floats, candidate: Candidate, reach: int) -> Candidate:
    """The candidate moved by up to `reach` whole pixels to where its box correlates best."""
    x0, y0, x1, y1 = _clipped(candidate.box, texture.shape, 0)
    # Whole pixels, because an unscaled copy then agrees without interpolation.
    transform = np.round(candidate.transform)
    local = transform.copy()
    local[:, 2] -= (x0 - reach, y0 - reach)
    size = (x1 - x0 + 2 * reach, y1 - y0 + 2 * reach)
    moved = cv2.warpAffine(texture, local, size)
    score = cv2.matchTemplate(moved, texture[y0:y1, x0:x1], cv2.TM_CCOEFF_NORMED)
    row, col = divmod(int(score.argmax()), score.shape[1])
    transform[:, 2] -= (col - reach, row - reach)
    return Candidate(transform, candidate.box)


def _same(clone: Clone, other: Clone) -> bool:
    both = np.count_nonzero(clone.area & other.area)
    return bool(both > 0.5 * min(np.count_nonzero(clone.area), np.count_nonzero(other.area)))


def _checked(picture: _Picture, candidate: Candidate) -> Clone | None:
    """The clone of this candidate, under its transform as given or better registered."""
    given = _agreeing(picture, candidate.transform, candidate.box)
    if given is None:
        return None
    if _convincing(given):
        return _placed(picture.texture, given)
    better = _registered(picture.light, candidate)
    refined = None if better is None else _agreeing(picture, better, candidate.box)
    if refined is None or not _convincing(refined):
        return None
    return _placed(picture.texture, refined)


_STEPS = 15
_STRETCH = 1.25
"""Largest ratio of the scales in two directions: copies are seldom stretched more."""


def _registered(light: _Floats, candidate: Candidate) -> Transform | None:
    """The candidate's transform after registration of the pixels (ECC), if it converges."""
    x0, y0, x1, y1 = _clipped(candidate.box, light.shape, 6)
    if min(x1 - x0, y1 - y0) <= 12:
        return None
    back = cv2.invertAffineTransform(candidate.transform)
    back[:, 2] += back[:, :2] @ (x0, y0)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, 1e-4)
    patch = np.ascontiguousarray(light[y0:y1, x0:x1])
    try:
        _, found = cv2.findTransformECC(
            patch, light, back.astype(np.float32), cv2.MOTION_AFFINE, criteria, None, 3
        )
    except cv2.error:  # no convergence
        return None
    back = np.asarray(found, np.float64)
    back[:, 2] -= back[:, :2] @ (x0, y0)
    wide, narrow = np.linalg.svd(back[:, :2])[1]
    if narrow < 0.4 or wide > 2.5 or wide > _STRETCH * narrow:
        return None
    return np.asarray(cv2.invertAffineTransform(back), np.float64)


def _clipped(box: Box, shape: tuple[int, ...], margin: float) -> Box:
    (x0, y0, x1, y1), (height, width) = box, shape[:2]
    return (max(0, int(x0 - margin)), max(0, int(y0 - margin)),
            min(width, int(x1 + margin)), min(height, int(y1 + margin)))  # fmt: skip


_WINDOW = 9, 9
_UNEXPLAINED = 0.12
"""Share of the local variance that a copy may leave unexplained."""
_NOISE = 12.0
"""Squared difference, grey levels, that compression alone makes."""
_LOOSE = 0.3, 24.0
"""The same two limits for the surroundings of an area that agrees closely."""
_REACH = 0.8
"""How far around the candidate's box agreement is looked for, in box sides."""
_NEIGHBOURS = (3, 0), (0, 3), (2, 2), (2, -2)


@dataclass(frozen=True, slots=True)
class _Agreement:
    """An area that agrees with the image moved by `transform`, and how well."""

    transform: Transform
    area: _Mask
    """`[H, W]`, second area."""
    textured: int
    """Pixels that agree closely and have texture well above compression noise."""
    detail: float
    """Correlation of the finest detail of both areas."""
    bias: float
    """Largest mean difference of a colour channel, grey levels."""
    sharpness: float
    """How many times the squared difference grows when one area is moved by 3 pixels."""
    thickness: float
    """Radius of the largest disc inside the area, pixels."""


def _agreeing(picture: _Picture, transform: Transform, box: Box) -> _Agreement | None:
    """The largest connected area around `box` that agrees under this transform."""
    side = max(box[2] - box[0], box[3] - box[1], 40)
    x0, y0, x1, y1 = _clipped(box, picture.shape, _REACH * side)
    if min(x1 - x0, y1 - y0) < 20:
        return None
    local = transform.copy()
    local[:, 2] -= (x0, y0)
    size = (x1 - x0, y1 - y0)
    moved = cv2.warpAffine(
        picture.rgb, local, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    there = picture.rgb[y0:y1, x0:x1]
    error, variance = _local(moved, there)
    inside = _inside(picture.shape, local, size)
    equal = (error < _UNEXPLAINED * variance + _NOISE) & inside
    part, textured = _largest(equal, variance > 6 * _NOISE)
    if textured < _least_texture(picture.shape):
        return None
    whole = np.zeros(picture.shape, bool)
    whole[y0:y1, x0:x1] = _grown(part, (error < _LOOSE[0] * variance + _LOOSE[1]) & inside)
    if not _apart(whole, transform):
        return None
    return _described(transform, whole, textured, (moved, there, part))


def _local(moved: _Floats, there: _Floats) -> tuple[_Floats, _Floats]:
    """Mean squared difference around each pixel, and the lesser variance of both areas there."""
    error = cv2.blur(_channel_mean((moved - there) ** 2), _WINDOW)
    variances = [
        cv2.blur(_channel_mean(a * a), _WINDOW) - _channel_mean(cv2.blur(a, _WINDOW) ** 2)
        for a in (moved, there)
    ]
    return np.asarray(error), np.maximum(np.minimum(*variances), 0)


def _channel_mean(rgb: _Floats) -> _Floats:
    return np.asarray(cv2.transform(rgb, np.full((1, 3), 1 / 3)), np.float32)


def _inside(shape: tuple[int, int], local: Transform, size: tuple[int, int]) -> _Mask:
    """Where the moved image has pixels of its own, with the whole window around them."""
    own = cv2.warpAffine(np.ones(shape, np.uint8), local, size, flags=cv2.INTER_NEAREST)
    return np.asarray(cv2.erode(own, np.ones(_WINDOW, np.uint8), borderValue=0) > 0)


def _largest(equal: _Mask, texture: _Mask) -> tuple[_Mask, int]:
    """The connected part of `equal` with most texture, without thin links, and that texture."""
    labels = _parts(equal)
    sizes = np.bincount(labels.ravel(), weights=texture.ravel())
    sizes[0] = 0
    best = int(sizes.argmax())
    return np.asarray((labels == best) & (best > 0)), int(sizes[best])


def _parts(equal: _Mask) -> NDArray[np.int32]:
    """Labels of the connected parts, thin links cut."""
    opened = cv2.morphologyEx(equal.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return np.asarray(cv2.connectedComponents(opened)[1])


def _grown(part: _Mask, equal: _Mask) -> _Mask:
    """The part and what `equal` connects to it: stronger compression breaks a copy up."""
    labels = _parts(equal)
    touched = np.unique(labels[part])
    return np.asarray(part | np.isin(labels, touched[touched > 0]))


def _apart(part: _Mask, transform: Transform) -> bool:
    """Whether this area and where it came from are two places."""
    back = cv2.invertAffineTransform(transform)
    rows, cols = np.nonzero(part)
    here = np.stack([cols, rows]).astype(np.float64)
    moved = np.linalg.norm(back[:, :2] @ here + back[:, 2:] - here, axis=0)
    if np.median(moved) < least_offset(part.shape):
        return False
    return bool(np.count_nonzero(_origin(part, back) & part) <= _SHARED * len(rows))


def _origin(part: _Mask, back: NDArray[np.float64]) -> _Mask:
    size = part.shape[1], part.shape[0]
    moved = cv2.warpAffine(part.astype(np.uint8), back, size, flags=cv2.INTER_NEAREST)
    return np.asarray(moved > 0)


def _described(
    transform: Transform, whole: _Mask, textured: int, areas: tuple[_Floats, _Floats, _Mask]
) -> _Agreement:
    moved, there, part = areas
    fine = [(a - cv2.GaussianBlur(a, (0, 0), 1.5))[part] for a in
            (_channel_mean(moved), _channel_mean(there))]  # fmt: skip
    length = np.sqrt((fine[0] ** 2).mean() * (fine[1] ** 2).mean())
    gaps = [((np.roll(moved, step, (0, 1)) - there)[part] ** 2).mean() for step in _NEIGHBOURS]
    difference = (moved - there)[part]
    return _Agreement(
        transform,
        whole,
        textured,
        detail=float((fine[0] * fine[1]).mean() / (length + 1e-9)),
        bias=float(np.abs(difference.mean(axis=0)).max()),
        sharpness=float(min(gaps) / ((difference**2).mean() + 2)),
        thickness=float(cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 3).max()),
    )


_DETAIL = 0.7
_BIAS = 0.7
_SHARPNESS = 3.0
_THICKNESS = 5.0


def _least_texture(shape: tuple[int, int]) -> float:
    return max(60.0, 0.001 * shape[0] * shape[1])


def _convincing(found: _Agreement) -> bool:
    """Whether honest repetition is out of the question.

    Windows and tiles differ in light from one to the next, edges fit their neighbourhood when
    moved along themselves, and neither agrees in the finest detail.
    """
    return (
        found.detail > _DETAIL
        and found.bias < _BIAS
        and found.sharpness > _SHARPNESS
        and found.thickness >= _THICKNESS
    )


_TEMPLATE = 64
_SAME = 0.8
"""Correlation from which a place shows the same detail; a third place means a pattern."""


def _placed(texture: _Floats, found: _Agreement) -> Clone | None:
    origin = _origin(found.area, cv2.invertAffineTransform(found.transform))
    if not origin.any():
        return None
    a, b = _box(origin), _box(found.area)
    if _occurrences(texture, b) > 2:
        return None
    return Clone(found.textured / _MATCH, a, b, origin | found.area)


def _occurrences(texture: _Floats, box: Box) -> int:
    """How often the middle of this box is found in the image, itself included."""
    (x0, y0, x1, y1), half = box, _TEMPLATE // 2
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    template = texture[max(y0, y - half) : min(y1, y + half), max(x0, x - half) : min(x1, x + half)]
    score = cv2.matchTemplate(texture, template, cv2.TM_CCOEFF_NORMED)
    peaks = (score == cv2.dilate(score, np.ones((9, 9), np.uint8))) & (score > _SAME)
    return int(cv2.connectedComponents(peaks.astype(np.uint8))[0]) - 1  # the first is the rest


def _box(area: _Mask) -> Box:
    rows, cols = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1
