"""Where one part of an image may be a copy of another: guesses, cheap to make, to be checked."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy import fft
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Box = tuple[int, int, int, int]
Transform = NDArray[np.float64]
_Floats = NDArray[np.float32]
_Doubles = NDArray[np.float64]
_Spectrum = NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A transform that may lay one area onto its copy."""

    transform: Transform
    """`[2, 3]` affine, from the first area to the second."""
    box: Box
    """Part of the second area."""


def least_offset(shape: tuple[int, ...]) -> float:
    """Shortest distance between an area and its copy, pixels: nearer ones are self-similarity."""
    return float(max(16.0, 0.04 * max(shape[:2])))


_KEYPOINTS = 2000
_CONTRAST = 0.005
"""An eighth of SIFT's usual threshold: copies are small and often lie in quiet areas."""
_RATIO = 0.85
"""Best over second-best distance: above it the match is one of many (texture)."""
_FARTHEST = 300.0
"""Largest SIFT descriptor distance of a copy (descriptors have length 512)."""
_APART = 8.0
"""Pixels: one point gives several keypoints, which do not compete as the second best."""
_MATCHES = 500
_GROUPS = 6
"""Groups of matches that are worth a check."""
_SCALES = 0.4, 2.5
_INACCURATE = 3.0, 0.15
"""Error of a single match's transform: pixels, and share of the distance from the point."""
_TURNED = 0.45
"""Largest difference of two matches' linear parts, relative to their scale."""
_AROUND = 12


@dataclass(frozen=True, slots=True)
class _Matches:
    """Keypoints and their likeliest copies; each match has a similarity transform of its own."""

    source: _Doubles  # [n, 2]
    target: _Doubles  # [n, 2]
    linear: _Doubles  # [n, 2, 2]

    def where(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> _Matches:
        return _Matches(self.source[keep], self.target[keep], self.linear[keep])


def keypoint_candidates(gray: Gray) -> list[Candidate]:
    """Transforms that at least two SIFT matches agree on, also turned, scaled or mirrored.

    Args:
        gray: `[H, W]`.
    """
    sift = cv2.SIFT.create(_KEYPOINTS, contrastThreshold=_CONTRAST)
    points, descriptors = sift.detectAndCompute(gray, None)
    if descriptors is None or len(points) < 4:
        return []
    ranked: list[tuple[int, Candidate]] = []
    place = np.array([point.pt for point in points], np.float32)
    near = _Near.of(place, least_offset(gray.shape))
    for mirrored in (False, True):
        matches = _self_matches(tuple(points), descriptors, mirrored, near)
        ranked += _agreed(matches, mirrored)
    ranked.sort(key=lambda pair: -pair[0])
    return [candidate for _, candidate in ranked[:_GROUPS]]


def _mirrored(descriptors: _Floats) -> _Floats:
    """What SIFT would give in the mirrored image: rows of cells and orientations run backwards."""
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1]
    return cells[..., -np.arange(8) % 8].reshape(-1, 128)


def _self_matches(
    points: tuple[cv2.KeyPoint, ...], descriptors: _Floats, mirrored: bool, near: _Near
) -> _Matches:
    """The best match elsewhere of every keypoint that has a clear one, left point first."""
    place = near.place
    angle = np.deg2rad([point.angle for point in points])
    size = np.array([point.size for point in points])
    source, target, ratio = _nearest(near, descriptors, mirrored)
    scale = size[target] / size[source]
    kept = np.flatnonzero((scale > _SCALES[0]) & (scale < _SCALES[1]))
    kept = kept[np.argsort(ratio[kept], kind="stable")[:_MATCHES]]
    source, target, scale = source[kept], target[kept], scale[kept]
    turn = angle[target] + angle[source] if mirrored else angle[target] - angle[source]
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    rows = [[cos, sin], [sin, -cos]] if mirrored else [[cos, -sin], [sin, cos]]
    linear = np.array(rows).transpose(2, 0, 1)
    swap = place[source, 0] > place[target, 0]
    linear[swap] = np.linalg.inv(linear[swap])
    first, second = np.where(swap, target, source), np.where(swap, source, target)
    once = np.unique(np.stack([first, second]), axis=1, return_index=True)[1]
    exact: _Doubles = place.astype(np.float64)
    return _Matches(exact[first], exact[second], linear).where(once)


@dataclass(frozen=True, slots=True)
class _Near:
    """Which keypoints lie too near to each other to be matches."""

    place: _Floats  # [n, 2]
    overlapping: NDArray[np.bool_]  # [n, n], too near for a copy of one another
    same: NDArray[np.bool_]  # [n, n], keypoints of one point

    @classmethod
    def of(cls, place: _Floats, least: float) -> _Near:
        """Of keypoints whose copies lie at least `least` pixels away."""
        apart = (place[:, None, 0] - place[:, 0]) ** 2 + (place[:, None, 1] - place[:, 1]) ** 2
        return cls(place, apart < least**2, apart < _APART**2)


def _nearest(
    near: _Near, descriptors: _Floats, mirrored: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], _Floats]:
    """Keypoints with a clear match elsewhere, that match, and how clear it is (ratio)."""
    norm = np.einsum("nd,nd->n", descriptors, descriptors)
    wanted = _mirrored(descriptors) if mirrored else descriptors
    square = norm[:, None] + norm - 2 * wanted @ descriptors.T
    np.copyto(square, np.inf, where=near.overlapping)
    best = square.argmin(axis=1)
    distance = square[np.arange(len(best)), best]
    np.copyto(square, np.inf, where=near.same[best])
    other = square.min(axis=1)
    good = np.flatnonzero((distance < _FARTHEST**2) & (distance < _RATIO**2 * other))
    ratio = np.maximum(distance[good], 0) / np.maximum(other[good], 1)
    return good, best[good], ratio.astype(np.float32)


def _agreed(matches: _Matches, mirrored: bool) -> list[tuple[int, Candidate]]:
    """The transforms most matches agree on, each match counted once, with their counts."""
    found: list[tuple[int, Candidate]] = []
    agree = _agreement(matches)
    left = np.ones(len(matches.source), bool)
    for _ in range(_GROUPS):
        votes = (agree & left).sum(axis=1) * left
        if not len(votes) or votes.max() < 2:
            break
        group = agree[votes.argmax()] & left
        left &= ~group
        fitted = _fitted(matches.where(group), mirrored)
        if fitted is not None:
            found.append(fitted)
    return found


def _agreement(matches: _Matches) -> NDArray[np.bool_]:
    """`[n, n]`: whether the transform of one match (row) also explains another (column)."""
    step = matches.source[None] - matches.source[:, None]
    expected = matches.target[:, None] + np.einsum("aij,abj->abi", matches.linear, step)
    error = np.linalg.norm(expected - matches.target[None], axis=2)
    near = error < _INACCURATE[0] + _INACCURATE[1] * np.linalg.norm(step, axis=2)
    scale = np.sqrt(np.abs(np.linalg.det(matches.linear)))
    turned = np.abs(matches.linear[:, None] - matches.linear[None]).max(axis=(2, 3))
    return np.asarray(near & (turned < _TURNED * scale[:, None]))


def _fitted(matches: _Matches, mirrored: bool) -> tuple[int, Candidate] | None:
    source, target = matches.source.astype(np.float32), matches.target.astype(np.float32)
    if mirrored:
        source[:, 0] *= -1
    cv2.setRNGSeed(0)
    transform, chosen = cv2.estimateAffinePartial2D(
        source, target, ransacReprojThreshold=3, maxIters=500
    )
    if transform is None or not np.isfinite(transform).all() or np.count_nonzero(chosen) < 2:
        return None  # fewer than two distinct points
    if mirrored:
        transform[:, 0] *= -1
    places = target[chosen.ravel() > 0]
    x0, y0 = (places.min(axis=0) - _AROUND).astype(int)
    x1, y1 = (places.max(axis=0) + _AROUND).astype(int)
    return len(places), Candidate(transform, (int(x0), int(y0), int(x1), int(y1)))


_SIDE = 48
_STEP = 28
_TEXTURED = 2.0, 0.15
"""A window is searched for if this contrast, grey levels, is reached on this share of it."""
_SAME_SHIFT = 4.0
_SHIFTS = 14
"""Shifts that are worth a check."""


def window_candidates(gray: Gray) -> list[Candidate]:
    """Shifts, plain or mirrored left to right, under which a window correlates best elsewhere.

    Unlike keypoints this also finds copies of weak texture; a small turn or scaling is tolerated.

    Args:
        gray: `[H, W]`; time grows with the square of the pixels.
    """
    height, width = gray.shape
    if min(height, width) < _SIDE:
        return []
    texture, contrast = evened(gray)
    images = (_Searched(texture), _Searched(np.ascontiguousarray(texture[:, ::-1])))
    found: list[tuple[float, Candidate]] = []
    for y, x in _windows(contrast):
        window = images[0].window(y, x)
        for mirrored, image in enumerate(images):
            own = width - _SIDE - x if mirrored else x
            score, ty, tx = image.best(window, (y, own), int(least_offset(gray.shape)))
            found.append((score, _shifted((y, x), (ty, tx), width, bool(mirrored))))
    found.sort(key=lambda pair: -pair[0])
    return _distinct([candidate for _, candidate in found])


def evened(gray: Gray) -> tuple[_Floats, _Floats]:
    """Detail of the image at equal contrast everywhere, and the contrast it had."""
    image = gray.astype(np.float32)
    detail = cv2.GaussianBlur(image, (0, 0), 0.7) - cv2.GaussianBlur(image, (0, 0), 4)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 6))
    return detail / (contrast + 1.5), contrast


def _windows(contrast: _Floats) -> list[tuple[int, int]]:
    """Top left corners `(y, x)` of the textured windows of a grid over the image."""
    spans = [side - _SIDE for side in contrast.shape]
    rows, cols = (np.linspace(0, span, round(span / _STEP) + 1).astype(int) for span in spans)
    return [
        (int(y), int(x))
        for y in rows
        for x in cols
        if (contrast[y : y + _SIDE, x : x + _SIDE] > _TEXTURED[0]).mean() > _TEXTURED[1]
    ]


class _Searched:
    """An image prepared for finding windows in it by correlation."""

    def __init__(self, texture: _Floats) -> None:
        self._texture = texture
        self._valid = tuple(side - _SIDE + 1 for side in texture.shape)
        self._size = tuple(cv2.getOptimalDFTSize(side) for side in texture.shape)
        taper = np.hanning(_SIDE + 2)[1:-1].astype(np.float32)
        self._weight = np.outer(taper, taper)
        self._spectrum = self._transformed(texture)
        weight = self._conjugate(self._weight)
        energy = self._correlate(self._transformed(texture**2), weight)
        # The constant keeps flat places, where any noise correlates, from winning.
        self._gain = 1 / (np.sqrt(np.maximum(energy, 1)) + 5)

    def _transformed(self, values: _Floats) -> _Spectrum:
        return np.asarray(fft.rfft2(values, self._size), np.complex64)

    def _conjugate(self, window: _Floats) -> _Spectrum:
        return np.conj(self._transformed(window))

    def _correlate(self, spectrum: _Spectrum, window: _Spectrum) -> _Floats:
        rows, cols = self._valid
        return np.asarray(fft.irfft2(spectrum * window, self._size)[:rows, :cols], np.float32)

    def window(self, y: int, x: int) -> _Spectrum:
        """The window with this corner, weighted, of unit energy: 1 is its score at best."""
        window = self._texture[y : y + _SIDE, x : x + _SIDE]
        energy = float((self._weight * window**2).sum())
        return self._conjugate(self._weight * window / max(energy**0.5, 1e-6))

    def best(self, window: _Spectrum, own: tuple[int, int], least: int) -> tuple[float, int, int]:
        """Highest score and its corner, at least `least` pixels away from the window's own."""
        score = self._correlate(self._spectrum, window)
        score *= self._gain
        y, x = own
        score[max(0, y - least) : y + least + 1, max(0, x - least) : x + least + 1] = -1
        ty, tx = divmod(int(score.argmax()), score.shape[1])
        return float(score[ty, tx]), ty, tx


def _shifted(
    corner: tuple[int, int], found: tuple[int, int], width: int, mirrored: bool
) -> Candidate:
    """The window's way to where it was found; `found` counts from the right if mirrored."""
    (y, x), (ty, tx) = corner, found
    left = width - _SIDE - tx if mirrored else tx
    flip = -1.0 if mirrored else 1.0
    offset = width - 1 - tx + x if mirrored else tx - x
    transform = np.array([[flip, 0, offset], [0, 1, ty - y]], np.float64)
    if (left, ty) < (x, y):  # so that the way there and the way back are one candidate
        transform, left, ty = cv2.invertAffineTransform(transform), x, y
    return Candidate(np.asarray(transform), (left, ty, left + _SIDE, ty + _SIDE))


def _distinct(candidates: list[Candidate]) -> list[Candidate]:
    kept: list[Candidate] = []
    for candidate in candidates:
        gap = [np.abs(candidate.transform - other.transform).max() for other in kept]
        if not gap or min(gap) >= _SAME_SHIFT:
            kept.append(candidate)
        if len(kept) == _SHIFTS:
            break
    return kept
