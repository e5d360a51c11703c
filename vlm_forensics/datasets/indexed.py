"""A folder of images with an `index.csv`: path, label, split, mask, original, generator, source.

Masks may be several files joined by `;`, meaning their union; a tampered image with an original
and no mask gets the mask of their thresholded, cleaned difference.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.io import loadmat

from vlm_forensics.errors import InputError
from vlm_forensics.taxonomy import Label

_DIFFERENCE = 12
"""Grey levels between tampered and original above which a pixel counts as altered."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a dataset; nothing is read before it is asked for."""

    path: Path
    label: Label
    split: str
    source: str
    generator: str = ""
    masks: tuple[Path, ...] = ()
    original: Path | None = None

    @property
    def has_mask(self) -> bool:
        """The altered area is known."""
        return bool(self.masks) or self.original is not None


def read_index(root: Path) -> list[Sample]:
    """The samples listed in `root/index.csv`, in file order.

    Raises:
        InputError: no index, a column is missing, or a row is not a sample.
    """
    index = root / "index.csv"
    if not index.is_file():
        raise InputError("not_found", f"{root.name} holds no index.csv", hint="see data_cards/")
    with index.open(newline="", encoding="utf-8") as file:
        try:
            return [_sample(root, row) for row in csv.DictReader(file)]
        except KeyError as error:
            raise InputError("bad_index", f"index.csv has no column {error}",
                             hint="needed: path, label, split, source") from error  # fmt: skip
        except (ValueError, TypeError) as error:  # an unknown label, a row that is too short
            raise InputError("bad_index", f"index.csv has a row that is no sample: {error}",
                             hint="labels: real, synthetic, tampered") from error  # fmt: skip


def _sample(root: Path, row: dict[str, str]) -> Sample:
    masks = tuple(root / part for part in (row.get("mask") or "").split(";") if part)
    original = row.get("original") or ""
    return Sample(
        root / row["path"], Label(row["label"]), row["split"], row["source"],
        row.get("generator") or "", masks, root / original if original else None,
    )  # fmt: skip


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """Pixels of a trusted research file as `[H, W, 3]`, stored grid.

    Large JPEGs are decoded at a reduced scale that keeps the short side at 1024 or more.

    Raises:
        OSError, ValueError, SyntaxError: the file does not decode.
    """
    with Image.open(path) as image:
        if image.format == "JPEG":
            scale = max(1, min(image.size) // 1024)
            image.draft("RGB", (image.width // scale, image.height // scale))
        return np.asarray(image.convert("RGB"))


def read_mask(sample: Sample, height: int, width: int) -> NDArray[np.bool_]:
    """The altered pixels as `[height, width]`; empty when the sample has no mask."""
    if sample.masks:
        union = np.zeros((height, width), bool)
        for path in sample.masks:
            union |= _fit(_mask_file(path), height, width) > 127
        return union
    if sample.original is not None:
        return _difference(sample, height, width)
    return np.zeros((height, width), bool)


def _mask_file(path: Path) -> NDArray[np.uint8]:
    """A mask as `[h, w]` 0..255: an image file, or a MATLAB array whatever its suffix says."""
    if path.read_bytes()[:6] == b"MATLAB":
        arrays = [v for k, v in loadmat(path).items() if not k.startswith("__")]
        return (np.asarray(arrays[0]) > 0).astype(np.uint8) * np.uint8(255)
    with Image.open(path) as image:
        return np.asarray(ImageOps.grayscale(image.convert("RGB")))


def _difference(sample: Sample, height: int, width: int) -> NDArray[np.bool_]:
    assert sample.original is not None
    pair = [_fit(read_pixels(path), height, width) for path in (sample.path, sample.original)]
    apart = cv2.absdiff(*pair).max(axis=2) > _DIFFERENCE
    kernel = np.ones((5, 5), np.uint8)
    cleaned = cv2.morphologyEx(apart.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    return np.asarray(cv2.morphologyEx(cleaned, cv2.MORPH_CLOSE, kernel, iterations=2) > 0)


def _fit(array: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    how = cv2.INTER_AREA if array.shape[0] >= height else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(array, (width, height), interpolation=how), dtype=np.uint8)


def sources(samples: Iterable[Sample]) -> list[str]:
    """Names of the sources, sorted."""
    return sorted({sample.source for sample in samples})
