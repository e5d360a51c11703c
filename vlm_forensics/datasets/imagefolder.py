"""Plain folders: `real/` and `fake/`, and the image folders of the Hugging Face Hub.

Two forms. With `metadata.jsonl` or `metadata.csv` (in the folder or in its split folders) each
row names a `file_name`, a `label` in words and, where there is one, a `mask_file_name`. Without
them the class is the name of a folder; masks of tampered pictures lie in `masks/` beside it.
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
    within,
)
from vlm_forensics.datasets.folders import by_stem, class_folders, image_files, subfolders
from vlm_forensics.taxonomy import Label

LABELS = {
    "real": Label.REAL, "0_real": Label.REAL, "authentic": Label.REAL, "original": Label.REAL,
    "pristine": Label.REAL, "nature": Label.REAL,
    "synthetic": Label.SYNTHETIC, "fake": Label.SYNTHETIC, "1_fake": Label.SYNTHETIC,
    "ai": Label.SYNTHETIC, "generated": Label.SYNTHETIC, "ai_generated": Label.SYNTHETIC,
    "tampered": Label.TAMPERED, "forged": Label.TAMPERED, "manipulated": Label.TAMPERED,
    "edited": Label.TAMPERED, "spliced": Label.TAMPERED,
}  # fmt: skip
"""Words for the classes. Class numbers are not guessed: sets disagree on what 1 means."""
_TABLES = ("metadata.jsonl", "metadata.csv")


class ImageFolder(DatasetAdapter):
    """Folders named by class, or image folders with metadata."""

    name = "imagefolder"
    title = "folders real/ and fake/, or a Hub image folder with metadata"
    generic = True

    def probe(self, root: Path) -> bool:
        """Metadata or a class folder at most three levels down, and no index."""
        if (root / "index.csv").is_file():
            return False
        return bool(_metadata(root)) or next(class_folders(root, LABELS, 3), None) is not None

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Metadata rows where there are any, else the pictures of the class folders."""
        found = _metadata(root)
        for table in found:
            read = tables.json_rows if table.suffix == ".jsonl" else tables.csv_rows
            yield from samples_of(read(root, table), partial(_described, root, table.parent))
        if not found:
            for folder, label in class_folders(root, LABELS):
                yield from _in_class_folder(root, folder, label)


def _metadata(root: Path) -> list[Path]:
    places = [root, *subfolders(root)]
    return [place / name for place in places for name in _TABLES if (place / name).is_file()]


def _described(root: Path, folder: Path, row: Row) -> Sample:
    """The sample of one metadata row; its names are relative to the metadata's folder."""
    path = within(folder, row.data["file_name"])
    mask = row.data.get("mask_file_name")
    inside = path.relative_to(root)
    return Sample(
        path=path,
        label=label_of(row.data["label"], LABELS),
        split=split_of(str(row.data.get("split", "")), *inside.parts[:-1]),
        source=str(row.data.get("source") or root.name),
        generator=str(row.data.get("generator") or row.data.get("operation") or ""),
        masks=(within(folder, mask),) if mask else (),
        id=inside.as_posix(),
        category=str(row.data.get("category") or ""),
        explanation=str(row.data.get("explanation") or row.data.get("annotation") or ""),
    )


def _in_class_folder(root: Path, folder: Path, label: Label) -> Iterator[Sample]:
    masks = folder.parent / "masks"
    known = by_stem(masks) if label is Label.TAMPERED and masks.is_dir() else None
    for path in image_files(folder):
        inside = path.relative_to(root)
        expected = () if known is None else (known.get(path.stem, masks / f"{path.stem}.png"),)
        yield Sample(path, label, split_of(*inside.parts[:-1]), root.name, masks=expected,
                     id=inside.as_posix())  # fmt: skip
