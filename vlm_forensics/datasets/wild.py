"""WILD (Bongini et al. 2025, arXiv 2504.19595): pictures of twenty commercial generators.

Layout: `Closed_Set/<generator>/` and `Open_Set/<generator>/`, pictures in them or below.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import image_files, subfolders
from vlm_forensics.taxonomy import Label

_SETS = {"Closed_Set": "wild/closed", "Open_Set": "wild/open"}


class Wild(DatasetAdapter):
    """Both sets, or the one that is there."""

    name = "wild"
    title = "WILD"

    def probe(self, root: Path) -> bool:
        """One of the sets is there."""
        return any((root / name).is_dir() for name in _SETS)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The pictures by set and generator."""
        for name, source in _SETS.items():
            for folder in subfolders(root / name):
                for path in image_files(folder):
                    yield Sample(
                        path=path,
                        label=Label.SYNTHETIC,
                        split="",
                        source=source,
                        generator=folder.name,
                        id=path.relative_to(root).as_posix(),
                    )
