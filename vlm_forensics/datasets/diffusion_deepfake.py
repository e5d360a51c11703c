"""Diffusion Deepfake (Bhattacharyya et al. 2024, arXiv 2404.01579): faces of diffusion models.

Layout, assumed: `{DiffusionDB-Face,JourneyDB-Face}/` with folders `real` and `fake` in them or in
split folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped, split_of
from vlm_forensics.datasets.folders import class_images
from vlm_forensics.taxonomy import Label

_LABELS = {"real": Label.REAL, "fake": Label.SYNTHETIC}
_SETS = {"DiffusionDB-Face": "Stable Diffusion", "JourneyDB-Face": "Midjourney"}
"""Folder, and what drew the pictures of the collection that it was picked from."""


class DiffusionDeepfake(DatasetAdapter):
    """Both sets, or the one that is there."""

    name = "diffusion_deepfake"
    title = "Diffusion Deepfake"

    def probe(self, root: Path) -> bool:
        """One of the sets is there."""
        return any((root / name).is_dir() for name in _SETS)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The pictures by set and class folder."""
        for name, generator in _SETS.items():
            for path, label in class_images(root / name, _LABELS):
                inside = path.relative_to(root)
                yield Sample(
                    path=path,
                    label=label,
                    split=split_of(*inside.parts[:-1]),
                    source=f"diffusion_deepfake/{name}",
                    generator="" if label is Label.REAL else generator,
                    id=inside.as_posix(),
                    category="face",
                )
