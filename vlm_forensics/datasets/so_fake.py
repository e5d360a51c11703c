"""So-Fake-Set and So-Fake-OOD (Huang et al. 2025, arXiv 2505.18660): pictures of social media.

Layout: parquet files of the Hub, `data/{train,validation,test}-*.parquet`, with the columns image,
mask, generator and label: words in So-Fake-Set, 0 real, 1 synthetic, 2 tampered in So-Fake-OOD.
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

_LABELS = {
    "real": Label.REAL, "full_synthetic": Label.SYNTHETIC, "tampered": Label.TAMPERED,
    0: Label.REAL, 1: Label.SYNTHETIC, 2: Label.TAMPERED,
}  # fmt: skip


class SoFake(DatasetAdapter):
    """The parquet files of either repository."""

    name = "so_fake"
    title = "So-Fake-Set and So-Fake-OOD"

    def probe(self, root: Path) -> bool:
        """The parquet shards have the columns of So-Fake."""
        shard = next(_shards(root), None)
        wanted = {"image", "mask", "generator", "label"}
        return shard is not None and wanted <= tables.parquet_columns(shard)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The rows of all shards, sorted by file name."""
        for shard in _shards(root):
            rows = tables.parquet_rows(root, shard, ("generator", "label"), ("image", "mask"))
            yield from samples_of(rows, partial(_sample, shard.name.split("-")[0]))


def _shards(root: Path) -> Iterator[Path]:
    yield from sorted((root / "data").glob("*-*.parquet"))


def _sample(split: str, row: Row) -> Sample:
    label = label_of(row.data["label"], _LABELS)
    return Sample(
        path=row.data["image"],
        label=label,
        split=split_of(split),
        # Only the benchmark of Reddit pictures has a test split.
        source="so_fake/ood" if split == "test" else "so_fake/set",
        generator="" if label is Label.REAL else str(row.data["generator"] or ""),
        masks=(row.data["mask"],) if label is Label.TAMPERED else (),
        id=row.where,
    )
