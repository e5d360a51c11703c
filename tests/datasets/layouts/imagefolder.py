"""A Hub image folder with metadata; the plain form is tested in test_imagefolder.py."""

from __future__ import annotations

import json
from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, mask_bytes, put

ROWS = (
    {"file_name": "images/0.png", "label": "real"},
    {"file_name": "images/1.png", "label": "fake", "generator": "some-diffusion"},
    {"file_name": "images/2.png", "label": "tampered", "mask_file_name": "masks/2.png",
     "operation": "splice", "explanation": "Die Kante ist hart \u2028 und hell."},
)  # fmt: skip


def make(root: Path) -> list[Expected]:
    for seed in range(3):
        put(root / f"train/images/{seed}.png", image_bytes(seed))
    put(root / "train/masks/2.png", mask_bytes())
    _metadata(root, [json.dumps(row, ensure_ascii=False) for row in ROWS])
    return [
        Expected(Label.REAL, "train"),
        Expected(Label.SYNTHETIC, "train", generator="some-diffusion"),
        Expected(Label.TAMPERED, "train", True, "splice", ROWS[2]["explanation"]),
    ]


def _metadata(root: Path, lines: list[str]) -> None:
    put(root / "train/metadata.jsonl", "\n".join(lines) + "\n")


def broken_image(root: Path) -> SkipCode:
    put(root / "train/images/0.png", image_bytes(0)[:60])
    return SkipCode.BROKEN_IMAGE


def missing_image(root: Path) -> SkipCode:
    (root / "train/images/0.png").unlink()
    return SkipCode.MISSING_IMAGE


def missing_mask(root: Path) -> SkipCode:
    (root / "train/masks/2.png").unlink()
    return SkipCode.MISSING_MASK


def wrong_json_line(root: Path) -> SkipCode:
    _metadata(root, ["{no json", *map(json.dumps, ROWS[1:])])
    return SkipCode.BROKEN_ROW


def class_number(root: Path) -> SkipCode:
    _metadata(root, [json.dumps({**ROWS[0], "label": 1}), *map(json.dumps, ROWS[1:])])
    return SkipCode.UNKNOWN_LABEL


def name_outside(root: Path) -> SkipCode:
    put(root.parent / "secret.png", image_bytes(9))
    row = {"file_name": "../../secret.png", "label": "real"}
    _metadata(root, [json.dumps(row), *map(json.dumps, ROWS[1:])])
    return SkipCode.BROKEN_ROW


@loses(0)
def duplicate(root: Path) -> SkipCode:
    _metadata(root, [json.dumps(row) for row in (*ROWS, ROWS[0])])
    return SkipCode.DUPLICATE_ID


DAMAGES = (
    broken_image, missing_image, missing_mask, wrong_json_line, class_number, name_outside,
    duplicate,
)  # fmt: skip
