"""MIRAGE: assumed class folders."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, put


def make(root: Path) -> list[Expected]:
    put(root / "0_real/a.jpg", image_bytes(0, "JPEG"))
    put(root / "1_fake/b.jpg", image_bytes(1, "JPEG"))
    return [Expected(Label.REAL, ""), Expected(Label.SYNTHETIC, "")]


DAMAGES = (breaks("0_real/a.jpg"),)
