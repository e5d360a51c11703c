"""DiQuID: inpainted pictures with the authors' file names, masks by stem."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, mask_bytes, put

STEMS = (
    "coco_000000003742_brushnet_realisticvision_1_None",
    "raise_ra09acb48t_Q71_hdpainter_dreamshaper_1_Upscaled",
)


def make(root: Path) -> list[Expected]:
    put(root / "original/000000003742.jpg", image_bytes(0, "JPEG"))
    for seed, stem in enumerate(STEMS, 1):
        put(root / f"inpainted/{stem}.jpg", image_bytes(seed, "JPEG"))
        put(root / f"masks/{stem}.png", mask_bytes())
    return [
        Expected(Label.REAL, ""),
        Expected(Label.TAMPERED, "", True, "brushnet/realisticvision"),
        Expected(Label.TAMPERED, "", True, "hdpainter/dreamshaper"),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / f"inpainted/{STEMS[0]}.jpg", b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_mask(root: Path) -> SkipCode:
    (root / f"masks/{STEMS[1]}.png").unlink()
    return SkipCode.MISSING_MASK


DAMAGES = (broken_image, missing_mask)
