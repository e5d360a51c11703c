"""Run lengths and regions, on masks whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vlm_forensics.errors import InputError
from vlm_forensics.image import display_transform
from vlm_forensics.masks import decode, encode, regions
from vlm_forensics.report import Mask

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
MASKS = hnp.arrays(np.bool_, SHAPES)
NOISE = np.random.default_rng(3).integers(20, 230, (200, 300, 3), np.uint8)


@given(MASKS)
def test_round_trip(mask: np.ndarray) -> None:
    coded = encode(mask, 0.5)
    np.testing.assert_array_equal(decode(coded), mask)
    assert sum(coded.counts) == mask.size
    assert all(count > 0 for count in coded.counts[1:])
    assert coded.area_fraction == pytest.approx(mask.mean())
    np.testing.assert_array_equal(decode(Mask.model_validate_json(coded.model_dump_json())), mask)


@given(MASKS, st.integers(1, 8))
def test_turning_commutes_with_coding(mask: np.ndarray, orientation: int) -> None:
    turned = display_transform(mask, orientation)
    np.testing.assert_array_equal(decode(encode(turned, 0.5)), turned)
    assert turned.sum() == mask.sum()


def test_runs_go_down_the_columns() -> None:
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    coded = encode(mask, 0.3)
    assert (coded.size, coded.counts, coded.threshold) == ((2, 3), (2, 1, 1, 2), 0.3)
    assert encode(np.ones((2, 2), bool), 0.3).counts == (0, 4)


@pytest.mark.parametrize("counts", [(), (3,), (7,), (8, -2), (2, 2, 3)])
def test_runs_that_do_not_fill_the_grid_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        decode(Mask(size=(2, 3), counts=counts, threshold=0.5, area_fraction=0))
    assert caught.value.code == "bad_report"


def heat(*boxes: tuple[int, int, int, int, float]) -> np.ndarray:
    found = np.zeros((200, 300), np.float32)
    for x0, y0, x1, y1, value in boxes:
        found[y0:y1, x0:x1] = value
    return found


def test_regions_are_ordered_by_mass_with_half_open_boxes() -> None:
    found = regions(
        heat((10, 20, 60, 80, 0.6), (100, 50, 240, 150, 0.9), (280, 190, 300, 200, 1.0)),
        0.5,
        rgb=NOISE,
    )
    assert [(region.id, region.box) for region in found] == [
        ("r1", (100, 50, 240, 150)),
        ("r2", (10, 20, 60, 80)),
        ("r3", (280, 190, 300, 200)),
    ]
    assert found[0].score == pytest.approx(0.9)
    assert found[0].area_fraction == pytest.approx(140 * 100 / 60000)
    assert [region.reliability for region in found] == ["high", "high", "low"]


def test_limits_on_number_and_size() -> None:
    many = heat(*[(10 * i, 0, 10 * i + 6, 20, 0.9) for i in range(20)], (0, 199, 1, 200, 1.0))
    assert len(regions(many, 0.5, rgb=NOISE)) == 5
    assert len(regions(many, 0.5, rgb=NOISE, max_regions=50)) == 20
    assert regions(heat(), 0.5, rgb=NOISE) == []


def test_diagonal_neighbours_are_one_region() -> None:
    joined = heat((0, 0, 50, 50, 0.8), (50, 50, 100, 100, 0.8))
    assert [region.box for region in regions(joined, 0.5, rgb=NOISE)] == [(0, 0, 100, 100)]


@pytest.mark.parametrize(("value", "expected"), [(128, "low"), (255, "low"), (0, "low")])
def test_flat_or_clipped_places_are_unreliable(value: int, expected: str) -> None:
    flat = NOISE.copy()
    flat[50:150, 50:150] = value
    (region,) = regions(heat((50, 50, 150, 150, 0.9)), 0.5, rgb=flat)
    assert region.reliability == expected


@settings(max_examples=50)
@given(hnp.arrays(np.float32, (30, 40), elements=st.floats(0, 1, width=32)), st.floats(0.1, 0.9))
def test_regions_hold_what_they_claim(found: np.ndarray, threshold: float) -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    places = regions(found, threshold, rgb=pixels, max_regions=2000, min_area_fraction=0.0)
    inside = found >= threshold
    assert sum(p.area_fraction for p in places) == pytest.approx(inside.mean())
    for place in places:
        x0, y0, x1, y1 = place.box
        assert inside[y0:y1, x0:x1].any()
        assert place.score >= threshold - 1e-6
