"""VCT²: a row of each part makes a sample a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, put, put_parquet

COCO = "COCO_AI/data/train-00000-of-00024.parquet"
TWITTER = "Twitter_AI/data/train-00000-of-00021.parquet"


def _row(seed: int, *columns: str) -> dict[str, Any]:
    pictures = {column: {"bytes": image_bytes(seed + n, "JPEG"), "path": None}
                for n, column in enumerate(columns)}  # fmt: skip
    return {"caption": "A cat on a mat.", **pictures}


ROW = _row(0, "coco_image", "sd3_image", "midjourney_image")


def make(root: Path) -> list[Expected]:
    put_parquet(root / COCO, [ROW])
    put_parquet(root / TWITTER, [_row(5, "twitter_image", "sd35_image")])
    return [
        Expected(Label.REAL, ""),
        Expected(Label.SYNTHETIC, "", generator="SD 3"),
        Expected(Label.SYNTHETIC, "", generator="Midjourney 6"),
        Expected(Label.REAL, ""),
        Expected(Label.SYNTHETIC, "", generator="SD 3.5"),
    ]


def broken_image(root: Path) -> SkipCode:
    put_parquet(root / COCO, [{**ROW, "sd3_image": {"bytes": b"no image", "path": None}}])
    return SkipCode.BROKEN_IMAGE


def empty_cell(root: Path) -> SkipCode:
    put_parquet(root / COCO, [{**ROW, "sd3_image": {"bytes": None, "path": None}}])
    return SkipCode.BROKEN_IMAGE


@loses(0)
def cut_shard(root: Path) -> SkipCode:
    put(root / COCO.replace("00000-of", "00001-of"), (root / COCO).read_bytes()[:200])
    return SkipCode.BROKEN_FILE


DAMAGES = (broken_image, empty_cell, cut_shard)
