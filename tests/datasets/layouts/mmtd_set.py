"""MMTD-Set: sets in the arrangement of FakeShield, a table with paths of another machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, mask_bytes, put

TABLE = "MMTD_Set/MMTD-Set-34k.json"
SPLICED, INPAINTED, PHOTO = (
    "photoshop/CASIAv2_Tp/image/Tp_D_1.jpg", "aigc/SD_inpaint_Val/image/000000000139.jpg",
    "aigc/COCO2017_Val/image/000000000139.jpg",
)  # fmt: skip


def _row(image: str, text: str) -> dict[str, Any]:
    return {"id": "0", "image": image,
            "conversations": [{"from": "human", "value": "<image>\nHas it been tampered with?"},
                              {"from": "gpt", "value": text}]}  # fmt: skip


ROWS = [
    _row("/data03/dataset/ps/CASIA2/image/Tp_D_1.jpg", "The bird has no shadow."),
    _row("/data03/dataset/aigc/SD_inpaint_Val/image/000000000139.jpg", "The vase melts."),
]


def make(root: Path) -> list[Expected]:
    for seed, name in enumerate((SPLICED, INPAINTED, PHOTO)):
        put(root / name, image_bytes(seed, "JPEG"))
    put(root / "photoshop/CASIAv2_Tp/mask/Tp_D_1_gt.png", mask_bytes())
    put(root / "aigc/SD_inpaint_Val/mask/000000000139.png", mask_bytes())
    put(root / TABLE, json.dumps(ROWS))
    return [
        Expected(Label.TAMPERED, "train", True, "photoshop", "The bird has no shadow."),
        Expected(Label.TAMPERED, "val", True, "SD_inpaint", "The vase melts."),
        Expected(Label.REAL, "val"),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / PHOTO, b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_mask(root: Path) -> SkipCode:
    (root / "photoshop/CASIAv2_Tp/mask/Tp_D_1_gt.png").unlink()
    return SkipCode.MISSING_MASK


@loses(0)
def described_but_not_there(root: Path) -> SkipCode:
    put(root / TABLE, json.dumps([*ROWS, _row("/data03/dataset/ps/DSO/image/9.jpg", "A seam.")]))
    return SkipCode.MISSING_IMAGE


@loses(0)
def row_without_answer(root: Path) -> SkipCode:
    put(root / TABLE, json.dumps([*ROWS, {"image": SPLICED, "conversations": []}]))
    return SkipCode.BROKEN_ROW


@loses(0)
def wrong_json(root: Path) -> SkipCode:
    put(root / TABLE, "[{")
    return SkipCode.BROKEN_FILE


DAMAGES = (broken_image, missing_mask, described_but_not_there, row_without_answer, wrong_json)
