"""SynthScars (Kang et al. 2025, arXiv 2503.15264): generated pictures, flaws outlined by people.

Layout: `{train,test}/images/` and `{train,test}/annotations/{train,test}.json` (also spelled
`annoations`), once more in `SynthScars/` or not; a list of `{<id>: {img_file_name, caption, refs:
[{sentence, explanation, bbox, segmentation}]}}` with polygons in pixels of the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vlm_forensics.datasets import tables
from vlm_forensics.datasets.base import (
    AnnotatedBox,
    DatasetAdapter,
    Row,
    Sample,
    Skipped,
    samples_of,
    within,
)
from vlm_forensics.taxonomy import Label

_SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class Outlines:
    """A mask as polygons over an image: x and y in turns, pixels of its stored grid."""

    image: Path
    polygons: tuple[tuple[float, ...], ...]

    @property
    def name(self) -> str:
        """File name of the mask that they fill."""
        return f"{self.image.stem}.png"

    def read_bytes(self) -> bytes:
        """A PNG of the image's size, white inside the polygons.

        Raises:
            OSError: the image cannot be read.
        """
        with Image.open(self.image) as image:
            filled = np.zeros((image.height, image.width), np.uint8)
        for polygon in self.polygons:
            # One by one and cut to whole pixels, as the authors' evaluation fills them.
            cv2.fillPoly(filled, [np.array(polygon).reshape(-1, 2).astype(np.int32)], (255,))
        return cv2.imencode(".png", filled)[1].tobytes()


class SynthScars(DatasetAdapter):
    """The unpacked zip file."""

    name = "synthscars"
    title = "SynthScars"

    def probe(self, root: Path) -> bool:
        """A split has images beside annotations named by it."""
        return any(
            _table(root, split).is_file() and (_home(root) / split / "images").is_dir()
            for split in _SPLITS
        )

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The entries of train, then of test."""
        for split in _SPLITS:
            table = _table(root, split)
            if table.is_file():
                images = _home(root) / split / "images"
                yield from samples_of(
                    tables.json_rows(root, table), partial(_sample, images, split)
                )


def _home(root: Path) -> Path:
    inner = root / "SynthScars"
    return inner if inner.is_dir() else root


def _table(root: Path, split: str) -> Path:
    """The README of the authors spells the folder without its t."""
    folder = _home(root) / split
    misspelled = folder / "annoations"
    return (misspelled if misspelled.is_dir() else folder / "annotations") / f"{split}.json"


def _sample(images: Path, split: str, row: Row) -> Sample:
    ((key, entry),) = row.data.items()
    image = within(images, entry["img_file_name"])
    polygons = tuple(tuple(map(float, p)) for ref in entry["refs"] for p in ref["segmentation"])
    return Sample(
        path=image,
        label=Label.SYNTHETIC,
        split=split,
        source="synthscars",
        masks=(Outlines(image, polygons),) if polygons else (),
        id=f"{split}/{key}",
        explanation=str(entry["caption"]).strip().strip('"').strip(),
        boxes=tuple(_box(ref) for ref in entry["refs"] if ref["segmentation"]),
    )


def _box(ref: dict[str, Any]) -> AnnotatedBox:
    """The box around the polygons of one flaw; the published boxes are empty."""
    points = np.concatenate([np.array(p, float).reshape(-1, 2) for p in ref["segmentation"]])
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    text = f"{str(ref['sentence']).strip().rstrip('.:')}: {str(ref['explanation']).strip()}"
    return AnnotatedBox(left, top, right - left, bottom - top, text)
