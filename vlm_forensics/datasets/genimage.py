"""GenImage (Zhu et al. 2023, arXiv 2306.08571): ImageNet photographs and pictures of its classes.

Layout: `<generator>/{train,val}/{ai,nature}/`, where the archives' own folder such as
`imagenet_ai_0419_biggan` stands in place of the generator's or below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped, split_of
from vlm_forensics.datasets.folders import class_images, subfolders
from vlm_forensics.taxonomy import Label

_CLASSES = {"ai": Label.SYNTHETIC, "nature": Label.REAL}
_ARCHIVE = re.compile(r"imagenet_(ai_\d{4}_)?")
_SHORT = {"sdv4": "stable_diffusion_v_1_4", "sdv5": "stable_diffusion_v_1_5"}
"""Names of the archives that differ from those of the folders."""


class GenImage(DatasetAdapter):
    """One folder a generator, each with photographs of its own."""

    name = "genimage"
    title = "GenImage"

    def probe(self, root: Path) -> bool:
        """A folder, or one in it, holds `train` or `val` with `ai` and `nature`."""
        if (root / "index.csv").is_file():  # built of GenImage, with its folders in `images/`
            return False
        folders = subfolders(root)
        return any(_is_generator(f) or any(map(_is_generator, subfolders(f))) for f in folders)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Generator by generator."""
        for path, label in class_images(root, _CLASSES):
            inside = path.relative_to(root)
            generator = _generator(inside.parts[0])
            yield Sample(
                path=path,
                label=label,
                split=split_of(*inside.parts[1:-1]),
                source=f"genimage/{generator}",
                generator=generator if label is Label.SYNTHETIC else "",
                id=inside.as_posix(),
            )


def _is_generator(folder: Path) -> bool:
    return any(all((folder / s / c).is_dir() for c in _CLASSES) for s in ("train", "val"))


def _generator(folder: str) -> str:
    short = _ARCHIVE.sub("", folder)
    return _SHORT.get(short, short)
