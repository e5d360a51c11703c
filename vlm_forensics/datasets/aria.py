"""ARIA (Li et al. 2024, arXiv 2404.14581): adversarial AI art in five categories.

Layout, assumed: `<category>/{real,fake}/…`, in a fake folder one folder for each generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import class_folders, image_files, subfolders
from vlm_forensics.taxonomy import Label

_LABELS = {"real": Label.REAL, "fake": Label.SYNTHETIC}
_CATEGORIES = ("art", "social", "news", "disaster", "anime")
"""How the names of the category folders begin, in any case."""


class Aria(DatasetAdapter):
    """Class folders in category folders."""

    name = "aria"
    title = "ARIA"

    def probe(self, root: Path) -> bool:
        """Two categories at least, with class folders in them."""
        known = [f for f in _categories(root) if next(class_folders(f, _LABELS, 1), None)]
        return len(known) > 1

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The pictures by category and class."""
        for category in _categories(root):
            for folder, label in class_folders(category, _LABELS, 1):
                for path in image_files(folder):
                    below = path.relative_to(folder).parts
                    named = label is Label.SYNTHETIC and len(below) > 1
                    yield Sample(
                        path=path,
                        label=label,
                        split="",
                        source="aria",
                        generator=below[0] if named else "",
                        id=path.relative_to(root).as_posix(),
                        category=category.name,
                    )


def _categories(root: Path) -> list[Path]:
    return [f for f in subfolders(root) if f.name.lower().startswith(_CATEGORIES)]
