"""Chameleon (Yan et al. 2024, arXiv 2406.19435): generated pictures that people took for real.

Layout: `{0_real,1_fake}/`, in a folder `test` or without it. Many sets look like that, so the
folder is known by its name only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import REAL_FAKE, class_folders, class_images


class Chameleon(DatasetAdapter):
    """Pictures of the web in two class folders."""

    name = "chameleon"
    title = "Chameleon"

    def probe(self, root: Path) -> bool:
        """A folder called Chameleon with class folders in it or in its `test`."""
        named = "chameleon" in root.resolve().name.lower()
        return named and next(class_folders(root, REAL_FAKE, 2), None) is not None

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Photographs, then generated pictures."""
        for path, label in class_images(root, REAL_FAKE):
            yield Sample(path, label, "test", "chameleon", id=path.relative_to(root).as_posix())
