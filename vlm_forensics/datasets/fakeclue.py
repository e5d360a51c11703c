"""FakeClue (Wen et al. 2025, arXiv 2503.14905): real and synthetic pictures with written clues.

Layout: `data_json/train.json` and `data_json/test.json`, lists of `{image, label, cate,
conversations}` with label 1 for real, and the unpacked `train.zip` and `test.zip`, which hold
`<folder>/{real,fake}/…` once or twice inside a folder named by the split.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from vlm_forensics.datasets import tables
from vlm_forensics.datasets.base import (
    DatasetAdapter,
    Row,
    Sample,
    Skipped,
    label_of,
    samples_of,
    within,
)
from vlm_forensics.taxonomy import Label

_LABELS = {0: Label.SYNTHETIC, 1: Label.REAL}
"""The authors' numbers: most other sets mean the opposite."""
_FACES = "ff++"
"""Folder whose fakes are video frames with an exchanged or driven face, by method."""
_SPLITS = ("train", "test")


class FakeClue(DatasetAdapter):
    """The published JSON beside the unpacked zip files."""

    name = "fakeclue"
    title = "FakeClue"

    def probe(self, root: Path) -> bool:
        """`data_json/train.json` or `data_json/test.json` beside a folder of that split."""
        return any(_table(root, split).is_file() and (root / split).is_dir() for split in _SPLITS)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The JSON rows, train first."""
        for split in _SPLITS:
            table = _table(root, split)
            if table.is_file():
                images = _image_folder(root, split)
                yield from samples_of(
                    tables.json_rows(root, table), partial(_sample, images, split)
                )


def _table(root: Path, split: str) -> Path:
    return root / "data_json" / f"{split}.json"


def _image_folder(root: Path, split: str) -> Path:
    """The zip files hold a folder of their own name; some tools unpack it into another one."""
    twice = root / split / split
    return twice if twice.is_dir() else root / split


def _sample(images: Path, split: str, row: Row) -> Sample:
    name = str(row.data["image"])
    answers = [turn["value"] for turn in row.data["conversations"] if turn["from"] == "gpt"]
    folder, *inner = PurePosixPath(name).parts
    label = label_of(row.data["label"], _LABELS)
    swapped = label is Label.SYNTHETIC and folder == _FACES
    return Sample(
        path=within(images, name),
        label=Label.TAMPERED if swapped else label,
        split=split,
        source=f"fakeclue/{folder}",
        generator=inner[1] if swapped and len(inner) > 2 else "",
        id=f"{split}/{name}",
        category=str(row.data.get("cate") or folder),
        explanation=str(answers[0]).strip() if answers else "",
    )
