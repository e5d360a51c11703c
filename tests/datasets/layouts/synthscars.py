"""SynthScars: entries of one key each, with polygons; a folder as the README spells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, put

TRAIN = "SynthScars/train/annoations/train.json"
CAPTION = "A man stands outdoors; his right ear is turned the wrong way."
BOX_CORNERS = [16.0, 10.0, 39.9, 10.0, 39.9, 29.9, 16.0, 29.9]


def _entry(key: str, name: str, *polygons: list[float]) -> dict[str, Any]:
    refs = [{"sentence": "Man's right ear.", "explanation": "The ear faces the front.",
             "bbox": None, "segmentation": [polygon]} for polygon in polygons]  # fmt: skip
    return {key: {"img_file_name": name, "caption": f'"{CAPTION}"', "refs": refs}}


ROWS = [_entry("1172", "a.png", BOX_CORNERS), _entry("1173", "b.jpg")]


def make(root: Path) -> list[Expected]:
    put(root / "SynthScars/train/images/a.png", image_bytes(0))
    put(root / "SynthScars/train/images/b.jpg", image_bytes(1, "JPEG"))
    put(root / "SynthScars/test/images/c.png", image_bytes(2))
    put(root / TRAIN, json.dumps(ROWS))
    put(root / "SynthScars/test/annotations/test.json",
        json.dumps([_entry("1172", "c.png", BOX_CORNERS)]))  # fmt: skip
    return [
        Expected(Label.SYNTHETIC, "train", True, explanation=CAPTION),
        Expected(Label.SYNTHETIC, "train", explanation=CAPTION),
        Expected(Label.SYNTHETIC, "test", True, explanation=CAPTION),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / "SynthScars/train/images/a.png", b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_image(root: Path) -> SkipCode:
    (root / "SynthScars/train/images/b.jpg").unlink()
    return SkipCode.MISSING_IMAGE


def odd_polygon(root: Path) -> SkipCode:
    put(root / TRAIN, json.dumps([_entry("1172", "a.png", [1.0, 2.0, 3.0]), ROWS[1]]))
    return SkipCode.BROKEN_ROW


def name_outside(root: Path) -> SkipCode:
    put(root / TRAIN, json.dumps([_entry("1172", "/mnt/raw_imgs/a.png"), ROWS[1]]))
    return SkipCode.BROKEN_ROW


def two_entries_in_a_row(root: Path) -> SkipCode:
    put(root / TRAIN, json.dumps([{**ROWS[0], "1": {}}, ROWS[1]]))
    return SkipCode.BROKEN_ROW


DAMAGES = (broken_image, missing_image, odd_polygon, name_outside, two_entries_in_a_row)
