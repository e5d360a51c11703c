"""WildFake (Hong et al. 2024, arXiv 2402.11843): fakes of the web in four levels, and photographs.

Layout: `Images/` with every zip unpacked where it lies, and the tables
`split_train_test/csv_file/total_split/{train,test}_metadata.csv` with the columns Generator,
Architecture, Weight, Category, IsAdvanced, IsFake, Image_path, Num.
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

_LABELS = {"0": Label.REAL, "1": Label.SYNTHETIC}
_TABLES = Path("split_train_test", "csv_file", "total_split")
_SPLITS = ("train", "test")
_LEVELS = ("Generator", "Architecture", "Weight", "Category")


class WildFake(DatasetAdapter):
    """The tables of the total split, and the unpacked images."""

    name = "wildfake"
    title = "WildFake"

    def probe(self, root: Path) -> bool:
        """A table of the total split lies beside `Images/`."""
        known = any(_table(root, split).is_file() for split in _SPLITS)
        return known and (root / "Images").is_dir()

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The rows of train, then of test."""
        for split in _SPLITS:
            if _table(root, split).is_file():
                rows = tables.csv_rows(root, _table(root, split))
                yield from samples_of(rows, partial(_sample, root, split))


def _table(root: Path, split: str) -> Path:
    return root / _TABLES / f"{split}_metadata.csv"


def _sample(root: Path, split: str, row: Row) -> Sample:
    name = PurePosixPath(row.data["Image_path"])
    label = label_of(row.data["IsFake"], _LABELS)
    levels = [row.data[level].strip() for level in _LEVELS]
    return Sample(
        path=_image(root / "Images", name),
        label=label,
        split=split,
        source=f"wildfake/{levels[1]}",
        generator="" if label is Label.REAL else "/".join(levels),
        id=str(name),
        category=levels[3],
    )


def _image(images: Path, name: PurePosixPath) -> Path:
    """Where the table says, or a folder above: some zips hold bare files (`mj_v5/` is in none)."""
    said = within(images, str(name))
    return said if said.parent.is_dir() else said.parent.parent / said.name
