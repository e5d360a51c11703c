"""FakeClue: JSON with conversations beside the unpacked zips, one of them nested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, put


def _row(image: str, label: int, text: str) -> dict[str, Any]:
    asked = {"from": "human", "value": "<image>\nDoes the image looks real/fake?"}
    return {"image": image, "label": label, "cate": "object", "width": 48, "height": 48,
            "conversations": [asked, {"from": "gpt", "value": text}]}  # fmt: skip


TRAIN = (
    _row("doc/real/a.jpg", 1, "This is a real image."),
    _row("chameleon/fake/b.png", 0, "This is a fake image. The hands have six fingers."),
)
TEST = (_row("ff++/fake/Deepfakes/c23/frames/000_003/005.png", 0, "This is a fake image."),)


def make(root: Path) -> list[Expected]:
    put(root / "train" / TRAIN[0]["image"], image_bytes(0, "JPEG"))
    put(root / "train" / TRAIN[1]["image"], image_bytes(1))
    put(root / "test/test" / TEST[0]["image"], image_bytes(2))
    put(root / "data_json/train.json", json.dumps(TRAIN))
    put(root / "data_json/test.json", json.dumps(TEST))
    texts = [row["conversations"][1]["value"] for row in (*TRAIN, *TEST)]
    return [
        Expected(Label.REAL, "train", explanation=texts[0]),
        Expected(Label.SYNTHETIC, "train", explanation=texts[1]),
        Expected(Label.TAMPERED, "test", generator="Deepfakes", explanation=texts[2]),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / "train" / TRAIN[0]["image"], b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_image(root: Path) -> SkipCode:
    (root / "train" / TRAIN[0]["image"]).unlink()
    return SkipCode.MISSING_IMAGE


def wrong_json(root: Path) -> SkipCode:
    put(root / "data_json/test.json", '[{"image": ')
    return SkipCode.BROKEN_FILE


def row_without_label(root: Path) -> SkipCode:
    rows = [{k: v for k, v in TRAIN[0].items() if k != "label"}, TRAIN[1]]
    put(root / "data_json/train.json", json.dumps(rows))
    return SkipCode.BROKEN_ROW


@loses(0)
def duplicate(root: Path) -> SkipCode:
    put(root / "data_json/train.json", json.dumps([*TRAIN, TRAIN[0]]))
    return SkipCode.DUPLICATE_ID


DAMAGES = (broken_image, missing_image, wrong_json, row_without_label, duplicate)
