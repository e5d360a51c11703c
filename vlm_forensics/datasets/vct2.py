"""VCT² (Imanpour et al. 2024, arXiv 2411.16754): captions with a photograph and its generations.

Layout: parquet files of the Hub, `data/train-*.parquet` of COCO_AI or of Twitter_AI or both in
folders of their own, with a caption and one picture column for the photograph and for each
generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vlm_forensics.datasets import tables
from vlm_forensics.datasets.base import DatasetAdapter, Row, Sample, Skipped, samples_of
from vlm_forensics.taxonomy import Label

_REAL = {"coco_image": "coco", "twitter_image": "twitter"}
"""Column of the photograph and the part that has it."""
_GENERATORS = {
    "sd21_image": "SD 2.1", "sdxl_image": "SDXL", "sd3_image": "SD 3", "sd35_image": "SD 3.5",
    "dalle_image": "DALL-E 3", "midjourney_image": "Midjourney 6",
}  # fmt: skip


class Vct2(DatasetAdapter):
    """The parquet files of the Hub."""

    name = "vct2"
    title = "VCT² (COCO_AI, Twitter_AI)"

    def probe(self, root: Path) -> bool:
        """The shards have a column of photographs beside one of generations."""
        shard = next(_shards(root), None)
        columns = tables.parquet_columns(shard) if shard else frozenset()
        return bool(columns & _REAL.keys()) and bool(columns & _GENERATORS.keys())

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Column by column in each shard."""
        for shard in _shards(root):
            columns = tables.parquet_columns(shard)
            part = next((name for column, name in _REAL.items() if column in columns), "unknown")
            # A damaged shard has no columns; its rows are then asked for once, to report it.
            for column in [c for c in (*_REAL, *_GENERATORS) if c in columns] or [""]:
                rows = tables.parquet_rows(root, shard, (), (column,))
                yield from samples_of(rows, partial(_sample, f"vct2/{part}", column))


def _shards(root: Path) -> Iterator[Path]:
    yield from sorted((root / "data").glob("train-*.parquet"))
    yield from sorted(root.glob("*/data/train-*.parquet"))


def _sample(source: str, column: str, row: Row) -> Sample:
    return Sample(
        path=row.data[column],
        label=Label.REAL if column in _REAL else Label.SYNTHETIC,
        split="",
        source=source,
        generator=_GENERATORS.get(column, ""),
        id=f"{row.where}/{column}",
    )
