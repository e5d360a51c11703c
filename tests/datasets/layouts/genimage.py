"""GenImage: one generator in the README's form, one as its archive unpacks."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, put

NATURE = "Midjourney/train/nature/n01440764_10026.JPEG"
INSIDE = "stable_diffusion_v_1_4/imagenet_ai_0419_sdv4"


def make(root: Path) -> list[Expected]:
    put(root / NATURE, image_bytes(0, "JPEG"))
    put(root / "Midjourney/train/ai/0_midjourney_0.png", image_bytes(1))
    put(root / INSIDE / "val/nature/ILSVRC2012_val_00000293.JPEG", image_bytes(2, "JPEG"))
    put(root / INSIDE / "val/ai/000_sdv4_00008.png", image_bytes(3))
    put(root / "imagenet_ai_0424_sdv5/val/ai/000_sdv5_00001.png", image_bytes(4))
    return [
        Expected(Label.REAL, "train"),
        Expected(Label.SYNTHETIC, "train", generator="Midjourney"),
        Expected(Label.REAL, "val"),
        Expected(Label.SYNTHETIC, "val", generator="stable_diffusion_v_1_4"),
        Expected(Label.SYNTHETIC, "val", generator="stable_diffusion_v_1_5"),
    ]


DAMAGES = (breaks(NATURE),)
