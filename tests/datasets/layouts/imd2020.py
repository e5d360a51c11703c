"""IMD2020: scenes with one original and its manipulations."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, mask_bytes, put, removes


def make(root: Path) -> list[Expected]:
    put(root / "1a1ogs/1a1ogs_orig.jpg", image_bytes(0, "JPEG"))
    put(root / "1a1ogs/c8tf5mq_0.png", image_bytes(1))
    put(root / "1a1ogs/c8tf5mq_0_mask.png", mask_bytes())
    put(root / "z41/00109_orig.jpg", image_bytes(2, "JPEG"))
    put(root / "z41/00109_fake.jpg", image_bytes(3, "JPEG"))
    put(root / "z41/00109_fake_mask.png", mask_bytes())
    return [Expected(Label.REAL, ""), Expected(Label.TAMPERED, "", True)] * 2


DAMAGES = (
    breaks("1a1ogs/c8tf5mq_0.png"),
    removes("z41/00109_fake_mask.png", SkipCode.MISSING_MASK),
    breaks("z41/00109_fake_mask.png", SkipCode.BROKEN_MASK),
)
