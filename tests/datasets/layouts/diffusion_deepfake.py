"""Diffusion Deepfake: both sets, one in split folders."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, put

NAMES = (
    "DiffusionDB-Face/real/a.jpg", "DiffusionDB-Face/fake/b.png", "JourneyDB-Face/test/fake/c.jpg",
)  # fmt: skip


def make(root: Path) -> list[Expected]:
    for seed, name in enumerate(NAMES):
        put(root / name, image_bytes(seed))
    return [
        Expected(Label.REAL, ""),
        Expected(Label.SYNTHETIC, "", generator="Stable Diffusion"),
        Expected(Label.SYNTHETIC, "test", generator="Midjourney"),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / NAMES[0], b"no image")
    return SkipCode.BROKEN_IMAGE


DAMAGES = (broken_image,)
