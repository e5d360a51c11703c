"""MIRAGE (2025): generated pictures of the web and of chained generators.

No file list of this benchmark was found. Read are the class folders that its peers use, in a
folder called MIRAGE.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped, split_of
from vlm_forensics.datasets.folders import REAL_FAKE, class_folders, class_images
from vlm_forensics.taxonomy import Label

_CLASSES = {**REAL_FAKE, "real": Label.REAL, "fake": Label.SYNTHETIC}


class Mirage(DatasetAdapter):
    """Class folders, at most three levels down."""

    name = "mirage"
    title = "MIRAGE"

    def probe(self, root: Path) -> bool:
        """A folder called MIRAGE that holds class folders."""
        named = root.resolve().name.lower() == "mirage"
        return named and next(class_folders(root, _CLASSES, 3), None) is not None

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Class folder by class folder."""
        for path, label in class_images(root, _CLASSES, 3):
            inside = path.relative_to(root)
            yield Sample(path, label, split_of(*inside.parts[:-1]), "mirage", id=inside.as_posix())
