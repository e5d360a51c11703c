"""Columbia uncompressed splicing (Hsu and Chang 2006): photographs of four cameras, spliced.

Layout: `4cam_auth/*.tif`, `4cam_splc/*.tif` and `4cam_splc/edgemask/<name>_edgemask.jpg`, whose
red and green mark the two cameras that a spliced picture comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import image_files
from vlm_forensics.datasets.pixels import RecodedMask
from vlm_forensics.taxonomy import Label


class Columbia(DatasetAdapter):
    """Authentic and spliced pictures in two folders."""

    name = "columbia"
    title = "Columbia uncompressed image splicing"

    def probe(self, root: Path) -> bool:
        """Both folders of the set are there."""
        return (root / "4cam_auth").is_dir() and (root / "4cam_splc").is_dir()

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Authentic pictures, then spliced ones."""
        for folder, label in (("4cam_auth", Label.REAL), ("4cam_splc", Label.TAMPERED)):
            for path in image_files(root / folder):
                if path.parent.name == folder:  # both may hold a folder edgemask
                    yield _sample(root, path, label)


def _sample(root: Path, path: Path, label: Label) -> Sample:
    spliced = label is Label.TAMPERED
    mask = RecodedMask(path.parent / "edgemask" / f"{path.stem}_edgemask.jpg", green)
    return Sample(
        path=path,
        label=label,
        split="",
        source="columbia",
        generator="splicing" if spliced else "",
        masks=(mask,) if spliced else (),
        id=path.relative_to(root).as_posix(),
    )


def green(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The green areas, bright and dull alike; compared, because the masks are lossy JPEGs."""
    return np.asarray(pixels[..., 1] > pixels[..., 0])
