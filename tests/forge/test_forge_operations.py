"""What single operations do to pixels whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from forge_pictures import picture

from vlm_forensics.forge import ForgedSample, exemplar, forge, pasting, shapes
from vlm_forensics.forge.annotation import mask_boxes
from vlm_forensics.forge.base import Rgb, mean_change
from vlm_forensics.taxonomy import Operation


def first_sample(operation: Operation, photo: Rgb, donor: Rgb, **wanted: object) -> ForgedSample:
    """The first sample whose drawn parameters are these."""
    for seed in range(400):
        sample = forge(photo, donor, operation, seed)
        if all(sample.params.get(key) == value for key, value in wanted.items()):
            return sample
    raise AssertionError(f"no seed draws {wanted}")


def test_copy_move_duplicates_the_photo_at_the_stated_shift(photo: Rgb, donor: Rgb) -> None:
    sample = first_sample(Operation.COPY_MOVE, photo, donor, scale=1.0, angle=0.0, flip=0,
                          feather=0.0)  # fmt: skip
    dx, dy = int(sample.params["shift_x"]), int(sample.params["shift_y"])
    rows, columns = np.nonzero(sample.mask)
    np.testing.assert_array_equal(sample.rgb[rows, columns], photo[rows - dy, columns - dx])
    sides = pasting.bounding_box(sample.mask)
    assert abs(dx) >= sides[2] - sides[0] or abs(dy) >= sides[3] - sides[1]


def test_splice_brings_in_donor_pixels(photo: Rgb) -> None:
    green = np.zeros((150, 150, 3), np.uint8)
    green[..., 1] = np.random.default_rng(0).integers(150, 255, (150, 150))
    for seed in range(5):
        sample = forge(photo, green, Operation.SPLICE, seed)
        if not sample.params["harmonised"]:
            core = cv2.erode(sample.mask.astype(np.uint8), np.ones((9, 9))).astype(bool)
            assert (sample.rgb[core][:, 1] > sample.rgb[core][:, 0]).mean() > 0.99


def test_exemplar_fill_continues_a_pattern() -> None:
    rows, columns = np.mgrid[:96, :96]
    stripes = np.repeat((((rows + columns) // 6 % 2) * 200 + 20)[..., None], 3, 2).astype(np.uint8)
    hole = np.zeros((96, 96), bool)
    hole[38:58, 38:58] = True
    damaged = np.where(hole[..., None], np.uint8(128), stripes)
    filled = exemplar.fill(damaged, hole, np.random.default_rng(0))
    assert filled is not None
    assert (filled[hole] == stripes[hole]).mean() > 0.85
    np.testing.assert_array_equal(filled[~hole], damaged[~hole])


def test_exemplar_fill_gives_up_where_nothing_is_left_to_copy(photo: Rgb) -> None:
    hole = np.ones(photo.shape[:2], bool)
    hole[0, 0] = False
    assert exemplar.fill(photo, hole, np.random.default_rng(0)) is None


@pytest.mark.parametrize("width", [0.0, 1.0, 3.0])
def test_feather_is_half_exactly_on_the_mask_and_ends_in_time(width: float) -> None:
    mask = np.zeros((60, 60), bool)
    cv2.circle(canvas := np.zeros((60, 60), np.uint8), (30, 28), 15, 1, cv2.FILLED)
    mask |= canvas.astype(bool)
    opacity = pasting.feathered(mask, width)
    np.testing.assert_array_equal(opacity >= 0.5, mask)
    distance = cv2.distanceTransform(1 - canvas, cv2.DIST_L2, 5)
    assert not opacity[distance > width + 0.5].any()


def test_neutral_transform_keeps_pixels(photo: Rgb) -> None:
    mask = np.zeros(photo.shape[:2], bool)
    mask[20:60, 30:80] = True
    patch = pasting.cut(photo, mask)
    same = pasting.transform(patch, 1.0, 0.0, flip=False)
    layer, shown = pasting.place(same, np.zeros_like(photo), *patch.origin)
    np.testing.assert_array_equal(shown, mask)
    np.testing.assert_array_equal(layer[mask], photo[mask])


def test_colour_match_moves_the_mean_to_the_reference() -> None:
    warm = picture(1) // 2 + np.array([90, 40, 0], np.uint8)
    cold = picture(2) // 2 + np.array([0, 40, 90], np.uint8)
    everywhere = np.ones(warm.shape[:2], bool)
    matched = pasting.match_colour(warm, everywhere, cold, everywhere)
    before = np.abs(warm.mean(axis=(0, 1)) - cold.mean(axis=(0, 1))).max()
    after = np.abs(matched.mean(axis=(0, 1)) - cold.mean(axis=(0, 1))).max()
    assert before > 50
    assert after < 8


def test_noise_level_finds_the_noise_that_was_added() -> None:
    flat = np.full((200, 200, 3), 120, np.uint8)
    for sigma in (3.0, 8.0):
        noisy = pasting.add_noise(flat, sigma, np.random.default_rng(0))
        assert pasting.noise_level(noisy) == pytest.approx(sigma, rel=0.2)


@pytest.mark.parametrize("kind", shapes.OUTLINES)
def test_outlines_have_the_wanted_area(kind: str) -> None:
    rng = np.random.default_rng(0)
    for area in (0.03, 0.1, 0.25):
        mask = shapes.draw_outline(kind, (200, 240), area, rng)
        assert mask.mean() == pytest.approx(area, rel=0.25)


def test_object_search_finds_the_disc() -> None:
    image = np.full((128, 128, 3), (40, 60, 120), np.uint8)
    cv2.circle(image, (64, 64), 24, (240, 200, 30), cv2.FILLED)
    image = pasting.add_noise(image, 4, np.random.default_rng(0))
    truth = cv2.circle(np.zeros((128, 128), np.uint8), (64, 64), 24, 1, cv2.FILLED).astype(bool)
    found = [shapes.find_object(image, np.random.default_rng(seed)) for seed in range(6)]
    overlaps = [(m & truth).sum() / (m | truth).sum() for m in found if m is not None]
    assert max(overlaps) > 0.9


def test_segment_follows_an_edge() -> None:
    image = np.zeros((120, 120, 3), np.uint8)
    image[:, 60:] = 220
    image = pasting.add_noise(image, 3, np.random.default_rng(0))
    mask = shapes.draw_segment(image, 0.2, np.random.default_rng(1))
    left = mask[:, :60].sum() / mask.sum()
    assert min(left, 1 - left) < 0.06


def test_boxes_are_grid_cells_largest_first() -> None:
    mask = np.zeros((50, 200), bool)
    mask[10:20, 20:40] = True
    mask[30:50, 100:200] = True
    mask[0, 0] = True
    assert mask_boxes(mask) == [(50, 60, 99, 99), (10, 20, 19, 39)]


@pytest.mark.parametrize("place", ["middle", "corner", "whole", "nowhere"])
def test_edges_are_those_of_the_whole_picture(photo: Rgb, donor: Rgb, place: str) -> None:
    mask = np.zeros(photo.shape[:2], bool)
    window = {"middle": np.s_[30:50, 40:80], "corner": np.s_[:20, -25:],
              "whole": np.s_[:], "nowhere": np.s_[:0]}[place]  # fmt: skip
    mask[window] = True
    for width in (1.0, 2.5, 4.0):
        inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) - 0.5
        outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) - 0.5
        ramp = np.clip(0.5 + np.where(mask, inside, -outside) / (2 * width), 0, 1)
        opacity = pasting.feathered(mask, width)
        np.testing.assert_array_equal(opacity, ramp.astype(np.float32))
        layer = cv2.resize(donor, photo.shape[1::-1])
        mixed = photo * (1 - opacity[..., None]) + layer * opacity[..., None]
        expected = np.rint(mixed).clip(0, 255).astype(np.uint8)
        np.testing.assert_array_equal(pasting.composite(photo, layer, opacity), expected)


def test_the_mean_change_is_that_inside_the_mask(photo: Rgb) -> None:
    after = np.random.default_rng(5).integers(0, 256, photo.shape, np.uint8)
    mask = np.zeros(photo.shape[:2], bool)
    assert mean_change(photo, after, mask) == 0
    mask[7:31, 5:44] = True
    expected = np.abs(after[mask].astype(int) - photo[mask]).mean()
    assert mean_change(photo, after, mask) == expected
