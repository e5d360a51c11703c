"""CIFAKE: class folders in capitals, numbered files."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, put

NAMES = (
    "train/REAL/0000 (2).jpg", "train/FAKE/1000.jpg", "test/REAL/0012 (10).jpg",
    "test/FAKE/0999 (3).jpg",
)  # fmt: skip


def make(root: Path) -> list[Expected]:
    for seed, name in enumerate(NAMES):
        put(root / name, image_bytes(seed, "JPEG"))
    return [
        Expected(Label.REAL, "train"),
        Expected(Label.SYNTHETIC, "train", generator="SD 1.4"),
        Expected(Label.REAL, "test"),
        Expected(Label.SYNTHETIC, "test", generator="SD 1.4"),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / NAMES[0], b"no image")
    return SkipCode.BROKEN_IMAGE


DAMAGES = (broken_image,)
