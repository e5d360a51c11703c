"""So-Fake: a shard of the training set with words as labels, one of the benchmark with numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, mask_bytes, put_parquet

SHARD = "data/train-00000-of-02100.parquet"


def _row(
    seed: int, label: str | int, generator: str | None = None, mask: bytes | None = None
) -> dict[str, Any]:
    return {"image": {"bytes": image_bytes(seed, "JPEG"), "path": f"{seed}.jpg"},
            "mask": {"bytes": mask, "path": f"{seed}_mask.png"},
            "label": label, "generator": generator}  # fmt: skip


TRAIN = [
    _row(0, "real"), _row(1, "full_synthetic", "SDXL"),
    _row(2, "tampered", "SD-inpainting", mask_bytes()),
]  # fmt: skip


def make(root: Path) -> list[Expected]:
    put_parquet(root / SHARD, TRAIN)
    put_parquet(root / "data/test-00000-of-00053.parquet", [_row(3, 0), _row(4, 1, "Seedream3.0")])
    return [
        Expected(Label.REAL, "train"),
        Expected(Label.SYNTHETIC, "train", generator="SDXL"),
        Expected(Label.TAMPERED, "train", True, "SD-inpainting"),
        Expected(Label.REAL, "test"),
        Expected(Label.SYNTHETIC, "test", generator="Seedream3.0"),
    ]


def broken_image(root: Path) -> SkipCode:
    bad = {**TRAIN[0], "image": {"bytes": b"no image", "path": "0.jpg"}}
    put_parquet(root / SHARD, [bad, *TRAIN[1:]])
    return SkipCode.BROKEN_IMAGE


def missing_mask(root: Path) -> SkipCode:
    put_parquet(root / SHARD, [*TRAIN[:2], _row(2, "tampered", "SD-inpainting")])
    return SkipCode.BROKEN_MASK


def unknown_label(root: Path) -> SkipCode:
    put_parquet(root / SHARD, [{**TRAIN[0], "label": "edited"}, *TRAIN[1:]])
    return SkipCode.UNKNOWN_LABEL


DAMAGES = (broken_image, missing_mask, unknown_label)
