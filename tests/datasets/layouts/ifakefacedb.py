"""iFakeFaceDB: pictures of one class, folders unknown."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, put


def make(root: Path) -> list[Expected]:
    put(root / "iFakeFaceDB/000001.jpg", image_bytes(0, "JPEG"))
    put(root / "iFakeFaceDB/000002.jpg", image_bytes(1, "JPEG"))
    return [Expected(Label.SYNTHETIC, "", generator="StyleGAN, GANprintR")] * 2


DAMAGES = (breaks("iFakeFaceDB/000001.jpg"),)
