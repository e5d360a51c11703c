"""Unveiling the Truth (Cartella et al. 2024): photographs and edits that people looked at.

Layout: `images/{original,pix2pix_magicbrush,semantic_agnostic,semantic_aware}/<id>.jpg` and
`masks/{semantic_agnostic,semantic_aware}/<id>.png`. The recorded gaze is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import image_files, subfolders
from vlm_forensics.taxonomy import Label


class UnveilingTruth(DatasetAdapter):
    """One folder for the originals, one for each way of editing them."""

    name = "unveiling_truth"
    title = "Unveiling the Truth"

    def probe(self, root: Path) -> bool:
        """Originals and edits of one kind are there under the authors' names."""
        return (root / "images/original").is_dir() and (root / "images/semantic_aware").is_dir()

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Folder by folder."""
        for folder in subfolders(root / "images"):
            for path in image_files(folder):
                yield _sample(root, path, folder.name)


def _sample(root: Path, path: Path, edit: str) -> Sample:
    original = edit == "original"
    masks = root / "masks" / edit
    # Edits by instruction come without masks; a diffusion model redrew every pixel around them.
    masked = not original and masks.is_dir()
    return Sample(
        path=path,
        label=Label.REAL if original else Label.TAMPERED,
        split="",
        source=f"unveiling_truth/{path.stem.split('_')[0]}",
        generator="" if original else edit,
        masks=(masks / f"{path.stem}.png",) if masked else (),
        id=path.relative_to(root).as_posix(),
    )
