"""DRAGON (Bertazzini et al. 2025, arXiv 2505.11257): pictures of 25 diffusion models.

Layout: uncompressed webdataset shards of the Hub, `train/dragon_train_*.tar`,
`test/dragon_test_*.tar`, and the smallest size `train/xs/dragon_train_xs.tar`; a sample is a `png`
with `model.txt` and a `json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vlm_forensics.datasets.archives import webdataset_rows
from vlm_forensics.datasets.base import DatasetAdapter, Row, Sample, Skipped, samples_of
from vlm_forensics.taxonomy import Label


class Dragon(DatasetAdapter):
    """The shards that are there; any size is a choice of shards."""

    name = "dragon"
    title = "DRAGON"

    def probe(self, root: Path) -> bool:
        """There is a shard."""
        return next(_shards(root), None) is not None

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The samples of the train shards, then of the test shards."""
        for split, shard in _shards(root):
            yield from samples_of(webdataset_rows(root, shard), partial(_sample, split))


def _shards(root: Path) -> Iterator[tuple[str, Path]]:
    # The smallest size is drawn from the others, so it is read only where it is alone.
    train = sorted((root / "train").glob("dragon_train_*.tar"))
    train = train or sorted((root / "train" / "xs").glob("dragon_train_*.tar"))
    yield from (("train", shard) for shard in train)
    yield from (("test", shard) for shard in sorted((root / "test").glob("dragon_test_*.tar")))


def _sample(split: str, row: Row) -> Sample:
    return Sample(
        path=row.data["png"],
        label=Label.SYNTHETIC,
        split=split,
        source="dragon",
        generator=_model(row),
        id=row.where,
    )


def _model(row: Row) -> str:
    try:
        return str(row.data["model.txt"].read_bytes().decode()).strip()
    except OSError as error:
        raise ValueError("model.txt cannot be read") from error
