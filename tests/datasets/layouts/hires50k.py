"""HiRes-50K: class folders in folders of widths."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, put


def make(root: Path) -> list[Expected]:
    put(root / "W_0900/0_real/a.jpg", image_bytes(0, "JPEG"))
    put(root / "W_0900/1_fake/b.jpg", image_bytes(1, "JPEG"))
    put(root / "W>5000/1_fake/c.png", image_bytes(2))
    fake = Expected(Label.SYNTHETIC, "test")
    return [Expected(Label.REAL, "test"), fake, fake]


DAMAGES = (breaks("W_0900/0_real/a.jpg"),)
