"""IMD2020, real-life part (Novozámský et al. 2020): manipulated pictures found on the web.

Layout: `<scene>/<name>_orig.jpg`, `<scene>/<other name>.{jpg,png}` and
`<scene>/<other name>_mask.png`; a scene has one original and one or more manipulations of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import image_files, subfolders
from vlm_forensics.taxonomy import Label


class Imd2020(DatasetAdapter):
    """Scenes in folders."""

    name = "imd2020"
    title = "IMD2020, real-life manipulated images"

    def probe(self, root: Path) -> bool:
        """One of the first three folders holds an original and a mask beside it."""
        return any(
            all(next(folder.glob(form), None) is not None for form in ("*_orig.*", "*_mask.png"))
            for folder in islice(subfolders(root), 3)
        )

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Scene by scene."""
        for path in image_files(root):
            if path.parent != root and not path.stem.endswith("_mask"):
                yield _sample(root, path)


def _sample(root: Path, path: Path) -> Sample:
    original = path.stem.endswith("_orig")
    return Sample(
        path=path,
        label=Label.REAL if original else Label.TAMPERED,
        split="",
        source="imd2020",
        masks=() if original else (path.with_name(f"{path.stem}_mask.png"),),
        id=path.relative_to(root).as_posix(),
    )
