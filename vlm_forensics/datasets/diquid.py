"""DiQuID, later SAGI-D (Giakoumoglou et al. 2025, arXiv 2502.06593): inpainted photographs.

Layout, assumed: `inpainted/<collection>_<photograph>_<pipeline>_<model>_<n>_<upscaling>.…`,
`masks/` by the same stems, `original/` with the photographs; in split folders or not. The file
names are the authors'.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped, split_of
from vlm_forensics.datasets.folders import by_stem, image_files, subfolders
from vlm_forensics.taxonomy import Label

_NAME = re.compile(r"(?P<source>coco|raise|openimages)_.+_(?P<how>[a-z]+_[^_]+)_\d+_[A-Za-z]+")
"""`coco_000000003742_brushnet_realisticvision_1_None`."""


class DiQuID(DatasetAdapter):
    """Inpainted pictures with masks, and the photographs."""

    name = "diquid"
    title = "DiQuID (SAGI-D)"

    def probe(self, root: Path) -> bool:
        """Inpainted pictures with the authors' file names, beside masks."""
        for place in _places(root):
            first = next((place / "inpainted").glob("*_*.*"), None)
            if first and _NAME.fullmatch(first.stem) and (place / "masks").is_dir():
                return True
        return False

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The photographs, then the inpainted pictures, by split folder."""
        for place in _places(root):
            for path in image_files(place / "original"):
                yield _sample(root, place, path)
            known = by_stem(place / "masks")
            for path in image_files(place / "inpainted"):
                mask = known.get(path.stem, place / "masks" / f"{path.stem}.png")
                yield _sample(root, place, path, mask)


def _places(root: Path) -> list[Path]:
    return [root, *(folder for folder in subfolders(root) if split_of(folder.name))]


def _sample(root: Path, place: Path, path: Path, mask: Path | None = None) -> Sample:
    named = _NAME.fullmatch(path.stem)
    return Sample(
        path=path,
        label=Label.TAMPERED if mask else Label.REAL,
        split="" if place == root else split_of(place.name),
        source="diquid",
        generator=named["how"].replace("_", "/") if named and mask else "",
        masks=(mask,) if mask else (),
        id=path.relative_to(root).as_posix(),
        category=named["source"] if named else "",
    )
