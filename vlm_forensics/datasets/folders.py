"""Walks over image folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from vlm_forensics.taxonomy import Label

IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic",
    ".heif", ".ppm",
})  # fmt: skip

REAL_FAKE = {"0_real": Label.REAL, "1_fake": Label.SYNTHETIC}
"""The class folders of CNNDetection, which many sets of generated pictures took over."""


def is_image(name: str) -> bool:
    """By its suffix, and not a hidden file."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def image_files(folder: Path) -> Iterator[Path]:
    """Image files in a folder and below it, sorted; hidden folders are left out."""
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in sorted(files) if is_image(name))


def by_stem(folder: Path, ending: str = "") -> dict[str, Path]:
    """Image files below a folder by their names without suffix and without `ending`."""
    return {path.stem.removesuffix(ending): path for path in image_files(folder)}


def subfolders(folder: Path) -> list[Path]:
    """Visible folders in a folder, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def class_folders(
    root: Path, meanings: Mapping[str, Label], depth: int = 4
) -> Iterator[tuple[Path, Label]]:
    """Folders whose lower-case name stands for a class, `0_real` or `ai`, and the class.

    Args:
        root: Where to look.
        meanings: Lower-case folder names and what they stand for.
        depth: How many levels below `root` to look; nothing inside a class folder is one.
    """
    for folder in subfolders(root) if depth else ():
        label = meanings.get(folder.name.lower())
        if label is not None:
            yield folder, label
        else:
            yield from class_folders(folder, meanings, depth - 1)


def class_images(
    root: Path, meanings: Mapping[str, Label], depth: int = 4
) -> Iterator[tuple[Path, Label]]:
    """The pictures in the class folders of `class_folders`, with their class."""
    for folder, label in class_folders(root, meanings, depth):
        for path in image_files(folder):
            yield path, label
