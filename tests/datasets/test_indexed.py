"""Dataset folders: the index, and every form a mask comes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.indexed import read_index, sources
from vlm_forensics.datasets.pixels import read_mask, read_pixels
from vlm_forensics.errors import InputError
from vlm_forensics.taxonomy import Label

HEADER = "path,label,split,mask,original,generator,source"
SHAPE = (60, 80)


def area(rows: slice, cols: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[rows, cols] = True
    return mask


FIRST, SECOND = area(slice(5, 20), slice(10, 30)), area(slice(30, 50), slice(40, 70))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    photo = np.random.default_rng(0).integers(60, 180, (*SHAPE, 3), dtype=np.uint8)
    altered = photo.copy()
    altered[SECOND] = 255 - altered[SECOND] // 2
    altered[0, 0] += 40  # a speck, which the cleaning takes away
    Image.fromarray(photo).save(tmp_path / "real.png")
    Image.fromarray(altered).save(tmp_path / "fake.png")
    for name, mask in (("m1.png", FIRST), ("m2.png", SECOND)):
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / name)
    savemat(tmp_path / "m.png", {"segmentation": FIRST.astype(np.uint8)}, appendmat=False)
    (tmp_path / "index.csv").write_text("\n".join([
        HEADER,
        "real.png,real,train,,,,b",
        "fake.png,tampered,train,m1.png;m2.png,,,a",
        "fake.png,tampered,val,m.png,,,a",
        "fake.png,tampered,val,,real.png,,a",
        "fake.png,synthetic,test,,,some-gan,a",
    ]))  # fmt: skip
    return tmp_path


def test_the_index_is_read_in_order(root: Path) -> None:
    found = read_index(root)
    assert [s.label for s in found] == [
        Label.REAL, Label.TAMPERED, Label.TAMPERED, Label.TAMPERED, Label.SYNTHETIC,
    ]  # fmt: skip
    assert [s.split for s in found] == ["train", "train", "val", "val", "test"]
    assert [s.has_mask for s in found] == [False, True, True, True, False]
    assert found[4].generator == "some-gan"
    assert found[3].original == root / "real.png"
    assert sources(found) == ["a", "b"]


def test_masks_are_united(root: Path) -> None:
    assert np.array_equal(read_mask(read_index(root)[1], *SHAPE), FIRST | SECOND)


def test_a_matlab_array_is_a_mask_whatever_its_name(root: Path) -> None:
    assert np.array_equal(read_mask(read_index(root)[2], *SHAPE), FIRST)


def test_the_difference_to_the_original_is_cleaned(root: Path) -> None:
    assert np.array_equal(read_mask(read_index(root)[3], *SHAPE), SECOND)


def test_without_a_mask_nothing_is_marked(root: Path) -> None:
    assert not read_mask(read_index(root)[0], *SHAPE).any()


@pytest.mark.parametrize("size", [(30, 40), (120, 160)])
def test_a_mask_follows_the_size_of_its_picture(root: Path, size: tuple[int, int]) -> None:
    found = read_mask(read_index(root)[1], *size)
    assert found.shape == size
    assert found.mean() == pytest.approx((FIRST | SECOND).mean(), abs=0.02)


def test_large_photographs_are_decoded_at_a_reduced_scale(tmp_path: Path) -> None:
    Image.new("RGB", (2600, 2100), (200, 10, 10)).save(tmp_path / "big.jpg")
    pixels = read_pixels(tmp_path / "big.jpg")
    assert 1024 <= min(pixels.shape[:2]) < 2100
    assert pixels.shape[2] == 3


@pytest.mark.parametrize("missing", ["path", "label", "split", "source"])
def test_a_missing_column_is_named(root: Path, missing: str) -> None:
    index = root / "index.csv"
    index.write_text(index.read_text().replace(missing, f"{missing}_", 1))
    with pytest.raises(InputError, match=missing) as caught:
        read_index(root)
    assert caught.value.code == "bad_index"


def test_a_missing_index_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_index(tmp_path)
    assert caught.value.code == "not_found"


def test_an_unknown_label_is_a_typed_error(root: Path) -> None:
    index = root / "index.csv"
    index.write_text(index.read_text().replace("synthetic", "fakey"))
    with pytest.raises(InputError, match="fakey") as caught:
        read_index(root)
    assert caught.value.code == "bad_index"


def test_a_picture_that_does_not_decode_raises(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises((OSError, ValueError, SyntaxError)):
        read_pixels(tmp_path / "x.png")
    sample = Sample(tmp_path / "x.png", Label.TAMPERED, "train", "a", masks=(tmp_path / "x.png",))
    with pytest.raises((OSError, ValueError, SyntaxError)):
        read_mask(sample, 8, 8)
