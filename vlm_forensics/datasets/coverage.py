"""COVERAGE (Wen et al. 2016): copy-moves where similar genuine objects stand beside the copy.

Layout: `image/<n>.tif` (original), `image/<n>t.tif` (tampered), and for each of these
`mask/<n>forged.tif`, `mask/<n>copy.tif`, `mask/<n>paste.tif`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import image_files
from vlm_forensics.taxonomy import Label

_NAME = re.compile(r"(\d+)(t?)")


class Coverage(DatasetAdapter):
    """Pairs of original and tampered picture."""

    name = "coverage"
    title = "COVERAGE"

    def probe(self, root: Path) -> bool:
        """`image/` holds a `<n>t.tif` and `mask/` a `<n>forged.tif`."""
        pairs = (("image", "*[0-9]t.tif"), ("mask", "*[0-9]forged.tif"))
        return all(next((root / folder).glob(form), None) is not None for folder, form in pairs)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The pictures that are named as the set names them."""
        for path in image_files(root / "image"):
            if found := _NAME.fullmatch(path.stem):
                yield _sample(root, path, *found.groups())


def _sample(root: Path, path: Path, number: str, mark: str) -> Sample:
    return Sample(
        path=path,
        label=Label.TAMPERED if mark else Label.REAL,
        split="",
        source="coverage",
        generator="copy-move" if mark else "",
        masks=(root / "mask" / f"{number}forged{path.suffix}",) if mark else (),
        id=path.relative_to(root).as_posix(),
    )
