"""Bounded samples of large images, and maps of their responses.

Features read native pixels, because every resize destroys the traces they look for. Where the
whole image is too much, they read tiles spread evenly over it instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features.base import FloatMap

MAP_SIDE = 512
"""Longest side of a map, cells."""
TILE = 32
"""Edge of a sampled tile, pixels; a multiple of the 16-pixel JPEG unit with chroma subsampling."""


def luma(rgb: NDArray[np.uint8]) -> FloatMap:
    """Luminance `[H, W]` in grey levels 0..255 (ITU-R BT.601 weights), not rounded."""
    weights = np.array([[0.299, 0.587, 0.114]], np.float32)
    return np.asarray(cv2.transform(rgb.astype(np.float32), weights), np.float32)


def area_map(response: NDArray[Any], cell: int = 8) -> FloatMap:
    """Mean response over cells of about `cell` pixels, the long side at most `MAP_SIDE` cells.

    Args:
        response: `[H, W]`, any size of at least one cell.
        cell: Edge of a cell in pixels.

    Returns:
        `[rows, cols]`, covering the whole of `response`.
    """
    height, width = response.shape
    cell = max(cell, -(-max(height, width) // MAP_SIDE))
    size = max(1, width // cell), max(1, height // cell)
    return np.asarray(
        cv2.resize(np.asarray(response, np.float32), size, interpolation=cv2.INTER_AREA), np.float32
    )


def origins(length: int, tile: int, count: int, align: int = 1) -> NDArray[np.intp]:
    """Start of `count` tiles spread evenly over `length`, each a multiple of `align`."""
    starts = np.linspace(0, length - tile, count) if count > 1 else np.zeros(1)
    return (starts.astype(np.intp) // align) * align


def grid_shape(height: int, width: int, tile: int, budget: int) -> tuple[int, int]:
    """Rows and columns of tiles: all that cover the image, or fewer to stay in `budget` pixels."""
    rows, cols = -(-height // tile), -(-width // tile)
    shrink = min(1.0, (budget / (rows * cols * tile * tile)) ** 0.5)
    return max(1, int(rows * shrink)), max(1, int(cols * shrink))


def mosaic(
    pixels: NDArray[Any], tile: int, budget: int, align: int = 1
) -> tuple[NDArray[Any], tuple[int, int]]:
    """Native-resolution tiles set side by side.

    Args:
        pixels: `[H, W]` or `[H, W, C]`, both sides at least `tile`.
        tile: Edge of a tile, pixels.
        budget: Most pixels to take.
        align: Tiles start at multiples of this.

    Returns:
        `[rows * tile, cols * tile(, C)]` and `(rows, cols)`. Without a shortage of budget the tiles
        overlap as little as covering the image allows.
    """
    rows, cols = grid_shape(pixels.shape[0], pixels.shape[1], tile, budget)
    steps = np.arange(tile)
    down = (origins(pixels.shape[0], tile, rows, align)[:, None] + steps).ravel()
    picked = pixels[down]
    # Slices: taking columns by index would copy every pixel by itself.
    across = [picked[:, x : x + tile] for x in origins(pixels.shape[1], tile, cols, align)]
    return np.concatenate(across, axis=1), (rows, cols)


def blocks(picture: NDArray[Any], grid: tuple[int, int]) -> NDArray[Any]:
    """A mosaic `[rows * t, cols * t]` as `[rows, cols, t, t]`."""
    rows, cols = grid
    tile = picture.shape[0] // rows
    return picture.reshape(rows, tile, cols, tile).swapaxes(1, 2)


@dataclass(frozen=True, slots=True)
class Sample:
    """The whole image, or a mosaic of its tiles when it has more pixels than the budget."""

    rgb: NDArray[np.uint8]
    """`[h, w, 3]`."""
    grid: tuple[int, int] | None
    """Rows and columns of tiles; None when this is the whole image."""

    @classmethod
    def of(cls, rgb: NDArray[np.uint8], budget: int) -> Sample:
        """A sample of at most `budget` pixels, on the JPEG grid of the image."""
        if rgb.shape[0] * rgb.shape[1] <= budget:
            return cls(rgb, None)
        picture, grid = mosaic(rgb, TILE, budget, align=16)
        return cls(picture, grid)

    def map_of(self, response: NDArray[Any], cell: int = 8, margin: int = 0) -> FloatMap:
        """Mean response per cell, or per tile without `margin` pixels at each seam.

        Args:
            response: `[h, w]`, the size of `rgb`.
            cell: Edge of a cell where the sample is the whole image.
            margin: Pixels at each tile edge that have seen another tile.
        """
        if self.grid is None:
            return area_map(response, cell)
        inner = slice(margin, TILE - margin)
        return np.asarray(
            blocks(response, self.grid)[:, :, inner, inner].mean(axis=(2, 3)), np.float32
        )


def number(value: float) -> str:
    """A measured number as sentences show it: three significant digits, no exponent."""
    if abs(value) < 0.0005 or float(value).is_integer():
        return f"{value:.0f}"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{digits}f}"
