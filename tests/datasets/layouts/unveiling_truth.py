"""Unveiling the Truth: edits with masks, edits by instruction without."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, mask_bytes, put, removes

EDITS = ("pix2pix_magicbrush", "semantic_agnostic", "semantic_aware")
NAME = "COCO_000000229478"


def make(root: Path) -> list[Expected]:
    for seed, folder in enumerate(("original", *EDITS)):
        put(root / f"images/{folder}/{NAME}.jpg", image_bytes(seed, "JPEG"))
    for folder in EDITS[1:]:
        put(root / f"masks/{folder}/{NAME}.png", mask_bytes())
    put(root / "gaze_data.pickle", b"is not read")
    edits = [Expected(Label.TAMPERED, "", edit != EDITS[0], edit) for edit in EDITS]
    return [Expected(Label.REAL, ""), *edits]


DAMAGES = (
    breaks(f"images/original/{NAME}.jpg"),
    removes(f"masks/semantic_aware/{NAME}.png", SkipCode.MISSING_MASK),
    breaks(f"masks/semantic_agnostic/{NAME}.png", SkipCode.BROKEN_MASK),
)
