"""AIGCDetectBenchmark: test sets with and without categories."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, put

REAL = "test/progan/airplane/0_real/00001.png"


def make(root: Path) -> list[Expected]:
    put(root / REAL, image_bytes(0))
    put(root / "test/progan/airplane/1_fake/00002.png", image_bytes(1))
    put(root / "test/DALLE2/0_real/a.png", image_bytes(2))
    put(root / "test/DALLE2/1_fake/b.png", image_bytes(3))
    return [
        Expected(Label.REAL, "test"),
        Expected(Label.SYNTHETIC, "test", generator="progan"),
        Expected(Label.REAL, "test"),
        Expected(Label.SYNTHETIC, "test", generator="DALLE2"),
    ]


DAMAGES = (breaks(REAL),)
