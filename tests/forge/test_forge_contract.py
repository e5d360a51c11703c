"""What every forge operation promises."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from forge_pictures import picture

from vlm_forensics.forge import NothingAlteredError, all_operations, forge, get
from vlm_forensics.forge.annotation import mask_boxes
from vlm_forensics.forge.base import MAX_AREA, MIN_AREA, Rgb
from vlm_forensics.taxonomy import Label, Operation, Origin

OPERATIONS = [operation for operation in Operation if operation is not Operation.FULL_GENERATION]
WHOLE = (Operation.WHOLE_SUPER_RESOLUTION, Operation.WHOLE_AUTOENCODER, Operation.LAUNDERING)
LOCAL = [operation for operation in OPERATIONS if operation not in WHOLE]
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
        changed = np.abs(sample.rgb.astype(int) - photo).mean(axis=2)
        scope = sample.mask if operation in LOCAL else np.ones_like(sample.mask)
        assert changed[scope].mean() >= get(operation).min_change
        assert sample.origin is get(operation).origin
        if operation in LOCAL:
            assert sample.label is Label.TAMPERED
            assert MIN_AREA <= sample.mask.mean() <= MAX_AREA
            assert sample.origin is Origin.CAMERA
        elif operation is Operation.LAUNDERING:
            assert (sample.label, sample.origin) == (Label.REAL, Origin.LAUNDERED)
            assert not sample.mask.any()
        else:
            assert (sample.label, sample.origin) == (Label.SYNTHETIC, Origin.RESYNTHESISED)
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
    assert (sample.rgb != flat).any()


def test_input_that_is_not_a_photo_is_refused(photo: Rgb) -> None:
    for bad in (photo[..., 0], photo.astype(np.float32), photo[:20]):
        with pytest.raises(ValueError, match=r"expected uint8|below 32"):
            forge(bad, photo, Operation.SPLICE, seed=0)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_parameters_are_json_and_boxes_cover_the_mask(
    operation: Operation, photo: Rgb, donor: Rgb
) -> None:
    sample = forge(photo, donor, operation, seed=2)
    assert json.loads(json.dumps(sample.params)) == sample.params
    boxes = np.array(mask_boxes(sample.mask)).reshape(-1, 4)
    assert len(boxes) > 0 or not sample.mask.any()
    assert ((boxes >= 0) & (boxes <= 99)).all()
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    height, width = sample.mask.shape
    rows, columns = np.nonzero(sample.mask)
    cells = np.stack([columns * 100 // width, rows * 100 // height], axis=1)
    inside = ((cells[:, None] >= boxes[:, :2]) & (cells[:, None] <= boxes[:, 2:])).all(axis=2)
    assert not len(cells) or inside.any(axis=1).mean() > 0.8


@pytest.mark.parametrize("operation", OPERATIONS)
def test_only_operations_that_say_so_look_at_the_donor(
    operation: Operation, photo: Rgb, donor: Rgb
) -> None:
    same = forge(photo, photo, operation, seed=3).rgb.tobytes()
    other = forge(photo, donor, operation, seed=3).rgb.tobytes()
    assert (same != other) == get(operation).uses_donor


def test_the_head_keeps_the_operations_its_weights_were_trained_on() -> None:
    from vlm_forensics.model.vocabulary import OPERATIONS as HEAD

    assert [str(operation) for operation in HEAD] == [
        "splice", "copy_move", "inpainting", "blending", "local_super_resolution",
        "local_autoencoder", "whole_super_resolution", "whole_autoencoder", "full_generation",
    ]  # fmt: skip
