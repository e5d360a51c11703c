"""SID-Set (Huang et al. 2024, arXiv 2412.04292): real, fully synthetic and tampered pictures.

Two layouts. The Hub: parquet files `data/{train,validation}-*.parquet` with img_id, image, mask,
width, height and label (0 real, 1 synthetic, 2 tampered). The zip files of the authors' drive:
`{train,validation,test}/{real,full_synthetic,tampered,masks}/` with masks `<stem>_mask.png`, and
for the described part `<split>/description/<class>_GT.json`, texts by file name.
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
from vlm_forensics.datasets.folders import image_files
from vlm_forensics.taxonomy import Label

_LABELS = {0: Label.REAL, 1: Label.SYNTHETIC, 2: Label.TAMPERED}
_FOLDERS = {
    "real": Label.REAL, "full_synthetic": Label.SYNTHETIC, "tampered": Label.TAMPERED,
}  # fmt: skip
_SPLITS = ("train", "validation", "test")


class SidSet(DatasetAdapter):
    """The parquet files of the Hub, or the unpacked zip files."""

    name = "sid_set"
    title = "SID-Set"

    def probe(self, root: Path) -> bool:
        """Shards with the columns of SID-Set, or its class folders in a split folder."""
        shard = next(_shards(root), None)
        if shard is not None:
            return {"img_id", "image", "mask", "label"} <= tables.parquet_columns(shard)
        return any((root / split / "full_synthetic").is_dir() for split in _SPLITS)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The rows of all shards, else the class folders, train first."""
        for shard in _shards(root):
            rows = tables.parquet_rows(root, shard, ("img_id", "label"), ("image", "mask"))
            yield from samples_of(rows, partial(_row, split_of(shard.name.split("-")[0])))
        for split in _SPLITS:
            if (root / split / "full_synthetic").is_dir():
                yield from _unpacked(root, split)


def _shards(root: Path) -> Iterator[Path]:
    yield from sorted((root / "data").glob("*-*.parquet"))


def _row(split: str, row: Row) -> Sample:
    label = label_of(row.data["label"], _LABELS)
    return Sample(
        path=row.data["image"],
        label=label,
        split=split,
        source="sid_set",
        masks=(row.data["mask"],) if label is Label.TAMPERED else (),
        id=f"{split}/{row.data['img_id']}",
    )


def _unpacked(root: Path, split: str) -> Iterator[Sample | Skipped]:
    folder = root / split
    for name, label in _FOLDERS.items():
        texts: dict[str, str] = {}
        table = folder / "description" / f"{name}_GT.json"
        for row in tables.json_items(root, table) if table.is_file() else ():
            if isinstance(row, Skipped):
                yield row
            else:
                texts[row.data["key"]] = str(row.data["value"]).strip()
        for path in image_files(folder / name):
            mask = folder / "masks" / f"{path.stem}_mask.png"
            yield Sample(
                path=path,
                label=label,
                split=split_of(split),
                source="sid_set",
                masks=(mask,) if label is Label.TAMPERED else (),
                id=path.relative_to(root).as_posix(),
                explanation=texts.get(path.name, ""),
            )
