"""ARIA: categories with class folders, generators in the fake ones."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, put

NAMES = ("Artwork/real/a.jpg", "Artwork/fake/Midjourney/b.jpg", "News/fake/c.jpg")


def make(root: Path) -> list[Expected]:
    for seed, name in enumerate(NAMES):
        put(root / name, image_bytes(seed, "JPEG"))
    return [
        Expected(Label.REAL, ""),
        Expected(Label.SYNTHETIC, "", generator="Midjourney"),
        Expected(Label.SYNTHETIC, ""),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / NAMES[0], b"no image")
    return SkipCode.BROKEN_IMAGE


DAMAGES = (broken_image,)
