"""CIFAKE (Bird and Lotfi 2023, arXiv 2303.14126): CIFAR-10 and its likeness, 32 by 32 pixels.

Layout: `{train,test}/{REAL,FAKE}/0000 (2).jpg`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import class_images
from vlm_forensics.taxonomy import Label

_LABELS = {"real": Label.REAL, "fake": Label.SYNTHETIC}
_NUMBERED = re.compile(r"\d{4}( \(\d+\))?\.jpg")


class Cifake(DatasetAdapter):
    """The unpacked archive."""

    name = "cifake"
    title = "CIFAKE"

    def probe(self, root: Path) -> bool:
        """Class folders in capitals, with numbered files."""
        places = (root / split / name for split in ("train", "test") for name in ("REAL", "FAKE"))
        first = (next(place.glob("*.jpg"), place).name for place in places)
        return all(_NUMBERED.fullmatch(name) for name in first)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The pictures of train, then of test."""
        for split in ("train", "test"):
            for path, label in class_images(root / split, _LABELS, 1):
                yield Sample(
                    path=path,
                    label=label,
                    split=split,
                    source="cifake",
                    generator="" if label is Label.REAL else "SD 1.4",
                    id=path.relative_to(root).as_posix(),
                )
