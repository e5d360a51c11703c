"""ImagiNet (Boychev and Cholakov 2024, arXiv 2407.20020): balanced real and synthetic pictures.

Layout: the pictures in folders by origin (`val2017/`, `sdxl_photos_fake/`, …) and the authors'
`annotations/{train_annotations,calibration,test_annotations}.txt`, lines of `path,synthetic,
content,model,version` without a header. `testset/` of their script, with `test_all.txt`, holds
the test pictures as social networks degrade them, and is read in place of the clean ones.
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

_HEADER = ("path", "synthetic", "content", "model", "version")
_LABELS = {"0": Label.REAL, "1": Label.SYNTHETIC}
_CONTENTS = ("photos", "paintings", "faces", "uncategorized")
_GENERATORS = (
    "ProGAN", "StyleGAN-XL", "StyleGAN3", "SD v2.1", "SDXL v1.0", "Animagine XL", "Midjourney",
    "DALL-E 3", "",
)  # fmt: skip
"""By the number in `version`: the second track. The last one is of real pictures."""


class ImagiNet(DatasetAdapter):
    """The pictures and the authors' annotation files."""

    name = "imaginet"
    title = "ImagiNet"

    def probe(self, root: Path) -> bool:
        """One of the annotation files is there."""
        return any(table.is_file() for table in _tables(root))

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The lines of train, calibration and test."""
        for table, split in _tables(root).items():
            if table.is_file():
                rows = tables.csv_rows(root, table, header=_HEADER)
                yield from samples_of(rows, partial(_sample, root, split))


def _tables(root: Path) -> dict[Path, str]:
    test = "test_all.txt" if (root / "testset").is_dir() else "test_annotations.txt"
    names = {"train_annotations.txt": "train", "calibration.txt": "val", test: "test"}
    return {root / "annotations" / name: split for name, split in names.items()}


def _sample(root: Path, split: str, row: Row) -> Sample:
    name = str(PurePosixPath(row.data["path"]))
    return Sample(
        path=within(root, name),
        label=label_of(row.data["synthetic"], _LABELS),
        split=split,
        source="imaginet",
        generator=_GENERATORS[int(row.data["version"])],
        id=f"{split}/{name}",
        category=_CONTENTS[int(row.data["content"])],
    )
