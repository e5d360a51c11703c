"""Pixels to model inputs: one overview of the picture, and tiles of it at native resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:  # imported in functions: a run without torch makes its inputs here too
    from torch import Tensor

SHORT_SIDE = 256
"""Short side of the overview, pixels; what the model was trained and calibrated at."""
LONG_SIDE = 512
STRIDE = 16
TILE = 256
MAX_TILES = 6
MEAN = (0.485, 0.456, 0.406)
"""Of ImageNet, as `STD`; shares of 255."""
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one picture becomes."""

    overview: NDArray[np.uint8]
    """`[h, w, 3]`, short side 256, long side at most 512, both multiples of 16."""
    tiles: NDArray[np.uint8]
    """`[N, 256, 256, 3]` at native resolution; N = 0 when the overview shows every pixel."""
    corners: tuple[tuple[int, int], ...]
    """`(x, y)` of each tile in the stored grid."""


def prepare(rgb: NDArray[np.uint8]) -> Inputs:
    """Overview and edge-aligned tiles (HiDA-Net, 2025) of `[H, W, 3]` pixels."""
    corners = tile_corners(*rgb.shape[:2])
    tiles = [rgb[y : y + TILE, x : x + TILE] for x, y in corners]
    stacked = np.stack(tiles) if tiles else np.zeros((0, TILE, TILE, 3), np.uint8)
    return Inputs(overview(rgb), stacked, corners)


def overview(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole picture at the working size; area averaging down, bicubic up."""
    height, width = overview_size(*rgb.shape[:2])
    how = cv2.INTER_AREA if rgb.shape[0] >= height else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=how), dtype=np.uint8)


def overview_size(height: int, width: int) -> tuple[int, int]:
    """`(h, w)` of the overview; pictures longer than 2:1 are squeezed along their long side."""
    scale = SHORT_SIDE / min(height, width)
    sides = (min(LONG_SIDE, round(side * scale / STRIDE) * STRIDE) for side in (height, width))
    return next(sides), next(sides)


def tile_corners(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """At most `MAX_TILES` corners spread evenly over the grid of edge-aligned tiles.

    Empty below 1.5 times the overview, where the overview already is near native resolution.
    """
    if min(height, width) < 1.5 * SHORT_SIDE:
        return ()
    grid = [(x, y) for y in _starts(height) for x in _starts(width)]
    chosen = np.linspace(0, len(grid) - 1, min(MAX_TILES, len(grid))).round().astype(int)
    return tuple(grid[i] for i in chosen)


def _starts(length: int) -> list[int]:
    starts = list(range(0, length - TILE, TILE))
    return [*starts, length - TILE]


def to_tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """`[..., h, w, 3]` bytes → `[..., 3, h, w]` float in 0..255."""
    import torch

    return torch.from_numpy(np.array(rgb)).movedim(-1, -3).float()


def channels_first(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What `to_tensor` makes, as an array."""
    return np.ascontiguousarray(np.moveaxis(rgb, -1, -3), np.float32)


def vision_array(overview: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """What `vision_input` makes of one overview `[h, w, 3]`, as an array."""
    # Pillow's floating-point bilinear filter is the one that torch calls antialiased.
    squeezed = [
        np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR))
        for plane in channels_first(overview)
    ]
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (MEAN, STD))
    return np.asarray((np.stack(squeezed) / 255 - mean) / std, np.float32)[None]


def vision_input(
    overviews: Tensor, size: int, mean: Sequence[float] = MEAN, std: Sequence[float] = STD
) -> Tensor:
    """Overviews `[B, 3, h, w]` in 0..255 → normalised `[B, 3, size, size]`."""
    from torch.nn import functional as F

    squeezed = F.interpolate(overviews, (size, size), mode="bilinear", antialias=True)
    centre, scale = (overviews.new_tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    return (squeezed / 255 - centre) / scale
