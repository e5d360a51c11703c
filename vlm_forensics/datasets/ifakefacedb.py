"""iFakeFaceDB (Neves et al. 2019, arXiv 1911.05351): StyleGAN faces without their fingerprint.

Layout: the unpacked `iFakeFaceDB.zip`; how its folders are called is not published.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped, split_of
from vlm_forensics.datasets.folders import image_files
from vlm_forensics.taxonomy import Label


class IFakeFaceDb(DatasetAdapter):
    """Every picture in the folder: the set has generated ones only."""

    name = "ifakefacedb"
    title = "iFakeFaceDB"

    def probe(self, root: Path) -> bool:
        """The folder's name, as nothing inside it tells."""
        return root.resolve().name.lower() == "ifakefacedb"

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """All pictures, sorted."""
        for path in image_files(root):
            inside = path.relative_to(root)
            yield Sample(
                path=path,
                label=Label.SYNTHETIC,
                split=split_of(*inside.parts[:-1]),
                source="ifakefacedb",
                generator="StyleGAN, GANprintR",
                id=inside.as_posix(),
                category="face",
            )
