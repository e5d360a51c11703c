"""COVERAGE: pairs, and three masks each, of which one counts."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, mask_bytes, put, removes


def make(root: Path) -> list[Expected]:
    for number in (1, 100):
        put(root / f"image/{number}.tif", image_bytes(number, "TIFF"))
        put(root / f"image/{number}t.tif", image_bytes(number + 1, "TIFF"))
        for kind, white in (("forged", 255), ("copy", 0), ("paste", 0)):
            put(root / f"mask/{number}{kind}.tif", mask_bytes(white))
    put(root / "label/1.mat", b"MATLAB")
    pair = [Expected(Label.REAL, ""), Expected(Label.TAMPERED, "", True, "copy-move")]
    return pair * 2


DAMAGES = (
    breaks("image/1t.tif"),
    removes("mask/1forged.tif", SkipCode.MISSING_MASK),
    breaks("mask/100forged.tif", SkipCode.BROKEN_MASK),
)
