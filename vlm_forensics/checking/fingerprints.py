"""Perceptual hashes, and which pictures are the same but for size and compression.

The hash is the DCT hash (pHash, Zauner 2010) over 16 × 16 frequencies: the usual 8 × 8 take aligned
portraits of different people for one picture. SciPy has the transform; a package of hashes would
add a dependency for a few lines and has no search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

COARSE_RADIUS = 4
"""Bits of the 64 lowest frequencies in which two forms of one picture may differ."""
RADIUS = 32
"""Bits of all 256 in which they may differ: re-encoding and halving change up to about 16, other
portraits in the same pose about 70."""

_GRID, _FREQUENCIES = 64, 16
_FLAT = 2.0
"""Grey levels of standard deviation below which a hash would be one of noise."""
_HIGH = np.indices((_FREQUENCIES, _FREQUENCIES)).max(axis=0).ravel() >= 8
_ORDER = np.argsort(_HIGH, kind="stable")
"""The 8 × 8 lowest frequencies first: they are the first word of a hash."""


class Duplicates(NamedTuple):
    """Which of N pictures are near-duplicates."""

    links: NDArray[np.int64]
    """`[L, 2]` pairs that connect every group; not every pair of a large group is listed."""
    distances: NDArray[np.int64]
    """`[L]` differing bits of 256."""
    groups: NDArray[np.int64]
    """`[N]` number of the group; a picture without a near-duplicate is alone in its own."""


def perceptual_hash(rgb: NDArray[np.uint8]) -> str:
    """The hash of a picture `[H, W, 3]` as 64 hexadecimal digits; empty for a flat picture."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32)
    if small.std() < _FLAT:
        return ""
    low = dctn(small, norm="ortho")[:_FREQUENCIES, :_FREQUENCIES].ravel()
    return np.packbits((low > np.median(low))[_ORDER]).tobytes().hex()


def near_duplicates(hashes: Sequence[str]) -> Duplicates:
    """Groups of pictures whose hashes are near, directly or through others.

    Args:
        hashes: of `perceptual_hash`; a picture with an empty one is compared with none.
    """
    known = np.flatnonzero(np.asarray([bool(text) for text in hashes], bool))
    data = bytes.fromhex("".join(hashes))
    words = np.frombuffer(data, ">u8").astype(np.uint64).reshape(-1, _FREQUENCIES**2 // 64)
    # Equal hashes hang on the first of them: a thousand copies need no million pairs.
    distinct, first, inverse = np.unique(words, axis=0, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[inverse.ravel()] != np.arange(len(words)))
    equal = np.column_stack([first[inverse.ravel()[copies]], copies])
    near, apart = _near(distinct)
    links = np.sort(known[np.concatenate([equal, first[near]])], axis=1)
    distances = np.concatenate([np.zeros(len(equal), np.int64), apart])
    order = np.lexsort(links.T[::-1])
    return Duplicates(links[order], distances[order], _groups(links, len(hashes)))


def _near(words: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`[L, 2]` pairs of rows at most `RADIUS` apart, and their distances."""
    found = [np.zeros((0, 2), np.int64)]
    found += [np.column_stack(pair) for pair in _candidates(words[:, 0])]
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    apart = np.bitwise_count(words[pairs[:, 0]] ^ words[pairs[:, 1]]).sum(axis=1, dtype=np.int64)
    return pairs[apart <= RADIUS], apart[apart <= RADIUS]


def _candidates(
    codes: NDArray[np.uint64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs at most `COARSE_RADIUS` apart, some more than once.

    Multi-index hashing (Norouzi et al. 2012): cut into one part more than bits may differ, two
    codes agree in some part. Codes sorted by a part are compared with the next, the one after it,
    and so on, for as long as the part is the same.
    """
    bounds = np.linspace(0, 64, COARSE_RADIUS + 2).astype(int).tolist()
    for low, high in pairwise(bounds):
        part = (codes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(part, kind="stable")
        part, left = part[order], np.arange(len(order))
        for step in count(1):
            left = left[left + step < len(part)]
            left = left[part[left] == part[left + step]]
            if not len(left):
                break
            one, other = order[left], order[left + step]
            near = np.bitwise_count(codes[one] ^ codes[other]) <= COARSE_RADIUS
            yield one[near], other[near]


def _groups(links: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)
