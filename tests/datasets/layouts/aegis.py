"""AEGIS: frames in folders of videos, as its user lays them out."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, put


def make(root: Path) -> list[Expected]:
    put(root / "real/youtube/v1/000.png", image_bytes(0))
    put(root / "fake/Sora/v2/000.png", image_bytes(1))
    put(root / "fake/KLing/v3/000.png", image_bytes(2))
    return [
        Expected(Label.REAL, ""),
        Expected(Label.SYNTHETIC, "", generator="Sora"),
        Expected(Label.SYNTHETIC, "", generator="KLing"),
    ]


DAMAGES = (breaks("real/youtube/v1/000.png"),)
