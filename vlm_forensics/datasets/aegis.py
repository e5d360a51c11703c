"""AEGIS (Li et al. 2025, arXiv 2508.10771): frames of real and of generated videos.

The set is one of videos. Read are frames that its user takes out of them:
`real/<collection>/<video>/<frame>.png` and `fake/<generator>/<video>/<frame>.png`, in a folder
called AEGIS.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import class_images
from vlm_forensics.taxonomy import Label

_CLASSES = {"real": Label.REAL, "fake": Label.SYNTHETIC}


class Aegis(DatasetAdapter):
    """Frames in folders of videos."""

    name = "aegis"
    title = "AEGIS, frames"

    def probe(self, root: Path) -> bool:
        """A folder called AEGIS with `real` or `fake` in it."""
        named = root.resolve().name.lower() == "aegis"
        return named and any((root / kind).is_dir() for kind in _CLASSES)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Class by class, video by video."""
        for path, label in class_images(root, _CLASSES, 1):
            inside = path.relative_to(root)
            origin = inside.parts[1] if len(inside.parts) > 2 else label.value
            yield Sample(
                path=path,
                label=label,
                split="",
                source=f"aegis/{origin}",
                generator=origin if label is Label.SYNTHETIC else "",
                id=inside.as_posix(),
            )
