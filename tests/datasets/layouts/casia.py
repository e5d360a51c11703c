"""CASIA 2.0; the first edition is tested in test_adapters.py."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, mask_bytes, put

TAMPERED = ("Tp_D_CRN_S_N_cha00063_art00014_11818", "Tp_S_NRN_M_N_pla00020_pla00020_10988")
TRUTH = "CASIA 2 Groundtruth"


def make(root: Path) -> list[Expected]:
    put(root / "Au/Au_ani_00001.jpg", image_bytes(0, "JPEG"))
    put(root / f"Tp/{TAMPERED[0]}.jpg", image_bytes(1, "JPEG"))
    put(root / f"Tp/{TAMPERED[1]}.tif", image_bytes(2, "TIFF"))
    put(root / "Tp/Thumbs.db", b"of a file manager")
    for name in TAMPERED:
        put(root / TRUTH / f"{name}_gt.png", mask_bytes())
    return [
        Expected(Label.REAL, ""),
        Expected(Label.TAMPERED, "", True, "splicing"),
        Expected(Label.TAMPERED, "", True, "copy-move"),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / f"Tp/{TAMPERED[0]}.jpg", b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_mask(root: Path) -> SkipCode:
    (root / TRUTH / f"{TAMPERED[0]}_gt.png").unlink()
    return SkipCode.MISSING_MASK


def broken_mask(root: Path) -> SkipCode:
    put(root / TRUTH / f"{TAMPERED[0]}_gt.png", mask_bytes()[:50])
    return SkipCode.BROKEN_MASK


DAMAGES = (broken_image, missing_mask, broken_mask)
