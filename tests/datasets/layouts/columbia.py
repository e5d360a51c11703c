"""Columbia: masks in red and green, stored as JPEG, of authentic pictures too."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import BOX, SIDE, Expected, breaks, image_bytes, put, removes

SPLICED = "4cam_splc/canong3_canonxt_sub_01.tif"
MASK = "4cam_splc/edgemask/canong3_canonxt_sub_01_edgemask.jpg"


def make(root: Path) -> list[Expected]:
    put(root / "4cam_auth/canong3_02_sub_01.tif", image_bytes(0, "TIFF"))
    put(root / "4cam_auth/edgemask/canong3_02_sub_01_edgemask.jpg", _mask())
    put(root / SPLICED, image_bytes(1, "TIFF"))
    put(root / MASK, _mask())
    return [Expected(Label.REAL, ""), Expected(Label.TAMPERED, "", True, "splicing")]


def _mask() -> bytes:
    """Bright and dull green in the box, bright and dull red around it."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[..., 0] = 200
    pixels[:, 36:, 0] = 255
    pixels[BOX] = (0, 200, 0)
    pixels[10:20, 16:40] = (0, 255, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


DAMAGES = (
    breaks(SPLICED),
    removes(MASK, SkipCode.MISSING_MASK),
    breaks(MASK, SkipCode.BROKEN_MASK),
)
