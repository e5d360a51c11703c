"""OmniFake: photographs and generators side by side in each split."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, put


def make(root: Path) -> list[Expected]:
    put(root / "train/real/a.jpg", image_bytes(0, "JPEG"))
    put(root / "train/FLUX_Dev/b.jpg", image_bytes(1, "JPEG"))
    put(root / "val/real/a.jpg", image_bytes(2, "JPEG"))
    put(root / "val/GPT4_o/b.jpg", image_bytes(3, "JPEG"))
    return [
        Expected(Label.REAL, "train"),
        Expected(Label.SYNTHETIC, "train", generator="FLUX_Dev"),
        Expected(Label.REAL, "val"),
        Expected(Label.SYNTHETIC, "val", generator="GPT4_o"),
    ]


DAMAGES = (breaks("train/FLUX_Dev/b.jpg"),)
