"""HiRes-50K (Mu et al. 2025, arXiv 2508.17346): photographs and generated pictures by width.

Layout: `W_0900`, `W_1200` … `W_5000`, `W>5000` (archive `W_5000_plus.zip`), each with
`{0_real,1_fake}/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import REAL_FAKE, class_images, subfolders

_WIDTH = re.compile(r"W(_|>)\d{4}(_plus)?")


class HiRes50K(DatasetAdapter):
    """Class folders in folders of widths."""

    name = "hires50k"
    title = "HiRes-50K"

    def probe(self, root: Path) -> bool:
        """A folder of a width holds a class folder."""
        widths = (folder for folder in subfolders(root) if _WIDTH.fullmatch(folder.name))
        return any((folder / kind).is_dir() for folder in widths for kind in REAL_FAKE)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Width by width."""
        for path, label in class_images(root, REAL_FAKE):
            inside = path.relative_to(root)
            yield Sample(
                path, label, "test", "hires50k", id=inside.as_posix(), category=inside.parts[0]
            )
