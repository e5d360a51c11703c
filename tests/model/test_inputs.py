"""The overview and the tiles that a picture becomes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_forensics.model.inputs import (
    LONG_SIDE,
    MAX_TILES,
    SHORT_SIDE,
    STRIDE,
    TILE,
    overview_size,
    prepare,
    tile_corners,
    to_tensor,
    vision_input,
)

side = st.integers(32, 12_000)


@given(side, side)
def test_the_overview_is_within_its_budget(height: int, width: int) -> None:
    found = overview_size(height, width)
    assert all(size % STRIDE == 0 for size in found)
    assert min(found) == SHORT_SIDE
    assert max(found) <= LONG_SIDE
    assert (found[0] >= found[1]) == (height >= width) or found[0] == found[1]
    if max(height, width) <= 2 * min(height, width):
        assert found[0] / found[1] == pytest.approx(height / width, rel=0.05)


@given(side, side)
def test_tiles_lie_inside_and_start_on_the_grid_or_at_the_far_edge(height: int, width: int) -> None:
    corners = tile_corners(height, width)
    assert len(corners) <= MAX_TILES
    assert len(set(corners)) == len(corners)
    assert bool(corners) == (min(height, width) >= 1.5 * SHORT_SIDE)
    for x, y in corners:
        assert 0 <= x <= width - TILE
        assert 0 <= y <= height - TILE
        assert x % TILE == 0 or x == width - TILE
        assert y % TILE == 0 or y == height - TILE
    if corners:
        assert corners[0] == (0, 0)
        assert corners[-1] == (width - TILE, height - TILE)


@settings(max_examples=8)
@given(st.integers(64, 900), st.integers(64, 900))
def test_tiles_are_the_pixels_themselves(height: int, width: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = prepare(rgb)
    assert found.overview.shape == (*overview_size(height, width), 3)
    assert found.tiles.shape == (len(found.corners), TILE, TILE, 3)
    for (x, y), tile in zip(found.corners, found.tiles, strict=True):
        assert np.array_equal(tile, rgb[y : y + TILE, x : x + TILE])


def test_a_square_view_passes_unchanged() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    found = prepare(rgb)
    assert np.array_equal(found.overview, rgb)
    assert found.corners == ()


def test_tensors_keep_values_and_take_reversed_arrays() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)[:, ::-1]
    found = to_tensor(rgb)
    assert found.shape == (3, 8, 16)
    assert np.array_equal(found.movedim(0, -1).numpy(), rgb.astype(np.float32))


def test_the_vision_input_is_normalised_and_square() -> None:
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255
    found = vision_input(mean.expand(2, 3, 256, 512), 224)
    assert found.shape == (2, 3, 224, 224)
    assert torch.allclose(found, torch.zeros(()), atol=1e-5)
    white = vision_input(torch.full((1, 3, 64, 64), 255.0, dtype=torch.float64), 32)
    assert white.dtype == torch.float64
    assert white[0, 0, 0, 0].item() == pytest.approx((1 - 0.485) / 0.229)
