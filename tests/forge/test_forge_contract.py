"""What every forge operation promises."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from forge_pictures import picture

from vlm_forensics.forge import NothingAlteredError, all_operations, describe, forge, get
from vlm_forensics.forge.base import MAX_AREA, MIN_AREA, Rgb
from vlm_forensics.taxonomy import Label, Operation

OPERATIONS = [operation for operation in Operation if operation is not Operation.FULL_GENERATION]
LOCAL = [operation for operation in OPERATIONS if not operation.startswith("whole_")]
SEEDS = range(6)

pytestmark = pytest.mark.usefixtures("tiny_networks")


def test_folder_holds_every_operation_but_full_generation() -> None:
    assert [member.operation for member in all_operations()] == OPERATIONS
    for member in all_operations():
        assert type(member).__module__.endswith(f".{member.operation}")
        assert member.makes
    with pytest.raises(KeyError, match="full_generation"):
        get(Operation.FULL_GENERATION)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_same_seed_same_bytes_other_seed_other_bytes(
    operation: Operation, photo: Rgb, donor: Rgb
) -> None:
    before = photo.tobytes(), donor.tobytes()
    first, again, other = (forge(photo, donor, operation, seed) for seed in (3, 3, 4))
    assert first.rgb.tobytes() == again.rgb.tobytes()
    assert first.mask.tobytes() == again.mask.tobytes()
    assert first.params == again.params
    assert first.params != other.params
    assert (photo.tobytes(), donor.tobytes()) == before


@pytest.mark.parametrize("operation", OPERATIONS)
def test_shape_label_mask_and_change(operation: Operation, photo: Rgb, donor: Rgb) -> None:
    for seed in SEEDS:
        sample = forge(photo, donor, operation, seed)
        assert sample.rgb.shape == photo.shape
        assert sample.rgb.dtype == np.uint8
        assert sample.mask.shape == photo.shape[:2]
        assert sample.mask.dtype == np.bool_
        assert sample.operation is operation
        altered = np.abs(sample.rgb.astype(int) - photo)[sample.mask].mean()
        assert altered >= get(operation).min_change
        if operation in LOCAL:
            assert sample.label is Label.TAMPERED
            assert MIN_AREA <= sample.mask.mean() <= MAX_AREA
        else:
            assert sample.label is Label.SYNTHETIC
            assert sample.mask.all()


@pytest.mark.parametrize("operation", [name for name in LOCAL if name is not Operation.BLENDING])
def test_pixels_beyond_the_feathered_edge_are_untouched(
    operation: Operation, photo: Rgb, donor: Rgb
) -> None:
    for seed in SEEDS:
        sample = forge(photo, donor, operation, seed)
        reach = 2 * int(np.ceil(float(sample.params.get("feather", 0)))) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (reach, reach))
        outside = ~cv2.dilate(sample.mask.astype(np.uint8), kernel).astype(bool)
        np.testing.assert_array_equal(sample.rgb[outside], photo[outside])


def test_blending_is_soft_but_leaves_most_of_the_photo_alone(photo: Rgb, donor: Rgb) -> None:
    for seed in SEEDS:
        sample = forge(photo, donor, Operation.BLENDING, seed)
        changed = (sample.rgb != photo).any(axis=2)
        assert (changed & ~sample.mask).mean() < 0.35
        assert changed[sample.mask].mean() > 0.8


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("size", [(60, 70), (260, 300)])
def test_photos_and_donors_of_other_sizes(operation: Operation, size: tuple[int, int]) -> None:
    other = picture(5, *size)
    for photo, donor in ((picture(1), other), (other, picture(1))):
        sample = forge(photo, donor, operation, seed=1)
        assert sample.rgb.shape == photo.shape


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_flat_photo_is_refused_or_really_altered(operation: Operation) -> None:
    flat = np.full((80, 80, 3), 128, np.uint8)
    try:
        sample = forge(flat, flat, operation, seed=0)
    except NothingAlteredError:
        return
    assert (sample.rgb != flat).any(axis=2)[sample.mask].any()


def test_input_that_is_not_a_photo_is_refused(photo: Rgb) -> None:
    for bad in (photo[..., 0], photo.astype(np.float32), photo[:20]):
        with pytest.raises(ValueError, match=r"expected uint8|below 32"):
            forge(bad, photo, Operation.SPLICE, seed=0)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_description_is_json_and_boxes_cover_the_mask(
    operation: Operation, photo: Rgb, donor: Rgb
) -> None:
    sample = forge(photo, donor, operation, seed=2)
    facts = json.loads(json.dumps(describe(sample)))
    assert facts["operation"] == operation
    assert facts["boxes"]
    for x0, y0, x1, y1 in facts["boxes"]:
        assert 0 <= x0 <= x1 <= 99
        assert 0 <= y0 <= y1 <= 99
    height, width = sample.mask.shape
    rows, columns = np.nonzero(sample.mask)
    cells = np.stack([columns * 100 // width, rows * 100 // height], axis=1)
    boxes = np.array(facts["boxes"])
    inside = ((cells[:, None] >= boxes[:, :2]) & (cells[:, None] <= boxes[:, 2:])).all(axis=2)
    assert inside.any(axis=1).mean() > 0.8
