"""OpenFake (Livernoche et al. 2025, arXiv 2509.09495): political pictures of many generators.

Layout: parquet files `core/{train,validation,test}-*.parquet` and `reddit/test-*.parquet`, in
older copies `data/{train,test}-*.parquet`, with the columns image, prompt, label (`real` or
`fake`), model, and in newer copies type and release_date.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vlm_forensics.datasets import tables
from vlm_forensics.datasets.base import (
    DatasetAdapter,
    Row,
    Sample,
    Skipped,
    label_of,
    samples_of,
    split_of,
)
from vlm_forensics.taxonomy import Label

_LABELS = {"real": Label.REAL, "fake": Label.SYNTHETIC}
_COLUMNS = {"image", "prompt", "label", "model"}
_CONFIGS = ("core", "reddit", "data")


class OpenFake(DatasetAdapter):
    """The parquet files of the Hub."""

    name = "openfake"
    title = "OpenFake"

    def probe(self, root: Path) -> bool:
        """The parquet shards have the columns of OpenFake."""
        shard = next(_shards(root), None)
        return shard is not None and {
            "image",
            "label",
            "model",
            "prompt",
        } <= tables.parquet_columns(shard)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The rows of all shards, sorted by file name."""
        for shard in _shards(root):
            rows = tables.parquet_rows(root, shard, ("label", "model", "type"), ("image",))
            yield from samples_of(rows, partial(_sample, shard))


def _shards(root: Path) -> Iterator[Path]:
    for config in _CONFIGS:
        yield from sorted((root / config).glob("*-*.parquet"))


def _sample(shard: Path, row: Row) -> Sample:
    config = shard.parent.name
    label = label_of(row.data["label"], _LABELS)
    return Sample(
        path=row.data["image"],
        label=label,
        split=split_of(shard.name.split("-")[0]),
        source=f"openfake/{config}",
        generator="" if label is Label.REAL else str(row.data["model"]),
        id=row.where,
        category=str(row.data.get("type") or ""),
    )
