"""WILD: both sets, one generator with a folder of post-processed pictures."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, put

NAMES = (
    "Closed_Set/Adobe Firefly/0001.png", "Closed_Set/Dall-E 3/post/0002.png",
    "Open_Set/Krea/0003.png",
)  # fmt: skip


def make(root: Path) -> list[Expected]:
    for seed, name in enumerate(NAMES):
        put(root / name, image_bytes(seed))
    return [Expected(Label.SYNTHETIC, "", generator=name.split("/")[1]) for name in NAMES]


def broken_image(root: Path) -> SkipCode:
    put(root / NAMES[0], b"no image")
    return SkipCode.BROKEN_IMAGE


DAMAGES = (broken_image,)
