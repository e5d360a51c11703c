"""MIML and MIMLv2 (Qu et al. 2024 and 2025, arXiv 2508.20987): edits of the web, masks by a model.

No file list is published. Read is the form that the authors ask of training data: `imgs/*.jpg`
and `masks/*.png` of the same names, in a folder whose name begins with MIML.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import by_stem, image_files
from vlm_forensics.taxonomy import Label


class MimlV2(DatasetAdapter):
    """Pictures and masks in two folders."""

    name = "mimlv2"
    title = "MIML and MIMLv2"

    def probe(self, root: Path) -> bool:
        """A folder called MIML… with `imgs` and `masks`."""
        named = root.resolve().name.lower().startswith("miml")
        return named and all((root / folder).is_dir() for folder in ("imgs", "masks"))

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """All pictures, sorted."""
        known = by_stem(root / "masks")
        for path in image_files(root / "imgs"):
            mask = known.get(path.stem, root / "masks" / f"{path.stem}.png")
            yield Sample(path, Label.TAMPERED, "", "mimlv2", masks=(mask,),
                         id=path.relative_to(root).as_posix())  # fmt: skip
