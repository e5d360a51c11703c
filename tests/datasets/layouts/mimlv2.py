"""MIMLv2: assumed folders of pictures and masks."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, mask_bytes, put, removes


def make(root: Path) -> list[Expected]:
    for name in ("a", "b"):
        put(root / f"imgs/{name}.jpg", image_bytes(ord(name), "JPEG"))
        put(root / f"masks/{name}.png", mask_bytes())
    return [Expected(Label.TAMPERED, "", True)] * 2


DAMAGES = (
    breaks("imgs/a.jpg"),
    removes("masks/b.png", SkipCode.MISSING_MASK),
    breaks("masks/b.png", SkipCode.BROKEN_MASK),
)
