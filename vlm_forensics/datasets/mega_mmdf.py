"""Mega-MMDF (Zhao et al. 2025, arXiv 2510.22622): frames of real and forged talking faces.

Layout: `{train,val,test}.json`, lists of videos such as `Mega-MMDF/…FAFV….mp4`, and
`attributes.json`. The set is one of videos; its user puts the frames of `a/b.mp4` into `a/b/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets import tables
from vlm_forensics.datasets.base import (
    DatasetAdapter,
    Row,
    Sample,
    SkipCode,
    Skipped,
    UnknownLabelError,
    within,
)
from vlm_forensics.datasets.folders import image_files
from vlm_forensics.taxonomy import Label

_SPLITS = ("train", "val", "test")
_KIND = re.compile(r"[RF]A([RF])V")
"""Real or fake audio, real or fake video; frames show only the latter."""


class MegaMmdf(DatasetAdapter):
    """The published lists beside folders of frames."""

    name = "mega_mmdf"
    title = "Mega-MMDF, frames"

    def probe(self, root: Path) -> bool:
        """`attributes.json` and a list of a split."""
        lists = any((root / f"{split}.json").is_file() for split in _SPLITS)
        return lists and (root / "attributes.json").is_file()

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Video by video, in the order of the lists."""
        for split in _SPLITS:
            table = root / f"{split}.json"
            for row in tables.json_rows(root, table, bare="video") if table.is_file() else ():
                yield from [row] if isinstance(row, Skipped) else _frames(root, split, row)


def _frames(root: Path, split: str, row: Row) -> Iterator[Sample | Skipped]:
    try:
        name = row.data["video"].replace("\\", "/").removeprefix("Mega-MMDF/")
        folder = within(root, name).with_suffix("")
        label = _label(name)
    except UnknownLabelError as error:
        yield Skipped(row.where, SkipCode.UNKNOWN_LABEL, str(error))
        return
    except (KeyError, AttributeError, ValueError) as error:
        yield Skipped(row.where, SkipCode.BROKEN_ROW, f"{type(error).__name__}: {error}")
        return
    frames = list(image_files(folder))
    if not frames:
        yield Skipped(row.where, SkipCode.MISSING_IMAGE, f"no frames in {folder.name}/")
    for path in frames:
        place = path.relative_to(root).as_posix()
        yield Sample(path, label, split, "mega_mmdf", id=place, category="face")


def _label(name: str) -> Label:
    found = _KIND.search(name)
    if found is None:
        raise UnknownLabelError(f"{name} names no kind such as RARV or FAFV")
    return Label.TAMPERED if found[1] == "F" else Label.REAL
