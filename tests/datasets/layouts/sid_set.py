"""SID-Set: train as a parquet shard of the Hub, test as the unpacked zip file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, mask_bytes, put, put_parquet

SHARD = "data/train-00000-of-00249.parquet"
TEXTS = "test/description/tampered_GT.json"
TEXT = "The second boat casts no reflection."


def _row(seed: int, name: str, label: int, mask: bytes | None = None) -> dict[str, Any]:
    return {
        "img_id": name, "image": {"bytes": image_bytes(seed), "path": f"{name}.png"},
        "mask": mask and {"bytes": mask, "path": f"{name}_mask.png"},
        "width": 48, "height": 48, "label": label,
    }  # fmt: skip


TRAIN = [
    _row(0, "9f2c2560a72d603c", 0), _row(1, "full_synthetic_063970", 1),
    _row(2, "tampered_29551", 2, mask_bytes()),
]  # fmt: skip


def make(root: Path) -> list[Expected]:
    put_parquet(root / SHARD, TRAIN)
    put(root / "test/real/0a1b.jpg", image_bytes(3, "JPEG"))
    put(root / "test/full_synthetic/full_synthetic_1.png", image_bytes(4))
    put(root / "test/tampered/tampered_1.png", image_bytes(5))
    put(root / "test/masks/tampered_1_mask.png", mask_bytes())
    put(root / TEXTS, json.dumps({"tampered_1.png": TEXT}))
    return [
        Expected(Label.REAL, "train"),
        Expected(Label.SYNTHETIC, "train"),
        Expected(Label.TAMPERED, "train", True),
        Expected(Label.REAL, "test"),
        Expected(Label.SYNTHETIC, "test"),
        Expected(Label.TAMPERED, "test", True, explanation=TEXT),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / "test/real/0a1b.jpg", b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_mask(root: Path) -> SkipCode:
    (root / "test/masks/tampered_1_mask.png").unlink()
    return SkipCode.MISSING_MASK


def tampered_without_mask(root: Path) -> SkipCode:
    put_parquet(root / SHARD, [*TRAIN[:2], {**TRAIN[2], "mask": {"bytes": None, "path": None}}])
    return SkipCode.BROKEN_MASK


def unknown_label(root: Path) -> SkipCode:
    put_parquet(root / SHARD, [{**TRAIN[0], "label": 3}, *TRAIN[1:]])
    return SkipCode.UNKNOWN_LABEL


@loses(0)
def wrong_json(root: Path) -> SkipCode:
    put(root / TEXTS, '{"tampered_1.png": ')
    return SkipCode.BROKEN_FILE


DAMAGES = (broken_image, missing_mask, tampered_without_mask, unknown_label, wrong_json)
