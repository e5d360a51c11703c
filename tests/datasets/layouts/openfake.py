"""OpenFake: parquet shards with images inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, put, put_parquet

SHARD = "core/train-00000-of-00002.parquet"


def _row(seed: int, label: str, model: str, kind: str = "base") -> dict[str, Any]:
    return {
        "image": {"bytes": image_bytes(seed, "JPEG"), "path": f"{seed}.jpg"}, "prompt": "a rally",
        "label": label, "model": model, "type": kind, "release_date": "2025-05",
    }  # fmt: skip


TRAIN = (_row(0, "real", "real"), _row(1, "fake", "flux.1-dev"), _row(2, "fake", "sd-3.5"))


def make(root: Path) -> list[Expected]:
    put_parquet(root / SHARD, list(TRAIN))
    put_parquet(root / "reddit/test-00000-of-00001.parquet", [_row(3, "real", "")])
    return [
        Expected(Label.REAL, "train"),
        Expected(Label.SYNTHETIC, "train", generator="flux.1-dev"),
        Expected(Label.SYNTHETIC, "train", generator="sd-3.5"),
        Expected(Label.REAL, "test"),
    ]


def broken_image(root: Path) -> SkipCode:
    bad = {**TRAIN[0], "image": {"bytes": b"no image", "path": "0.jpg"}}
    put_parquet(root / SHARD, [bad, *TRAIN[1:]])
    return SkipCode.BROKEN_IMAGE


def empty_cell(root: Path) -> SkipCode:
    bad = {**TRAIN[0], "image": {"bytes": None, "path": "0.jpg"}}
    put_parquet(root / SHARD, [bad, *TRAIN[1:]])
    return SkipCode.BROKEN_IMAGE


def unknown_label(root: Path) -> SkipCode:
    put_parquet(root / SHARD, [{**TRAIN[0], "label": "maybe"}, *TRAIN[1:]])
    return SkipCode.UNKNOWN_LABEL


@loses(0)
def cut_shard(root: Path) -> SkipCode:
    put(root / "core/train-00001-of-00002.parquet", (root / SHARD).read_bytes()[:200])
    return SkipCode.BROKEN_FILE


DAMAGES = (broken_image, empty_cell, unknown_label, cut_shard)
