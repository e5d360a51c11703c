"""Chameleon: class folders that only their parent's name tells from others."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, put


def make(root: Path) -> list[Expected]:
    put(root / "test/0_real/a.jpg", image_bytes(0, "JPEG"))
    put(root / "test/1_fake/b.jpg", image_bytes(1, "JPEG"))
    return [Expected(Label.REAL, "test"), Expected(Label.SYNTHETIC, "test")]


DAMAGES = (breaks("test/1_fake/b.jpg"),)
