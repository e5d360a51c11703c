"""DD-VQA (Zhang et al. 2024, arXiv 2402.00126): what people say about FaceForensics++ faces.

Layout: `DQ_FF++/{train,test}_set/<method>/<method>.json` as published, objects of questions and
answers by `<method number>_<video>`; the pictures are not published with them. Here they are one
crop an entry, `images/<entry>.…` or `{real,fake}/<entry>.…`, made by whoever has the videos.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vlm_forensics.datasets import tables
from vlm_forensics.datasets.base import (
    DatasetAdapter,
    Row,
    Sample,
    Skipped,
    UnknownLabelError,
    samples_of,
)
from vlm_forensics.datasets.folders import by_stem, subfolders
from vlm_forensics.taxonomy import Label

_METHODS = {
    "0": "Deepfakes", "1": "Face2Face", "2": "FaceShifter", "3": "FaceSwap", "5": "",
    "6": "NeuralTextures",
}  # fmt: skip
"""By the number that an entry starts with; 5 is an original."""
_IMAGES = ("images", "real", "fake")


class DdVqa(DatasetAdapter):
    """The published questions, and crops beside them."""

    name = "dd_vqa"
    title = "DD-VQA"

    def probe(self, root: Path) -> bool:
        """There is `DQ_FF++` with a set in it."""
        return any((root / "DQ_FF++" / f"{split}_set").is_dir() for split in ("train", "test"))

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The entries of train, then of test, by method."""
        folders = (root / name for name in _IMAGES)
        images = {stem: path for folder in folders for stem, path in by_stem(folder).items()}
        for split in ("train", "test"):
            for folder in subfolders(root / "DQ_FF++" / f"{split}_set"):
                rows = tables.json_items(root, folder / f"{folder.name}.json")
                yield from samples_of(rows, partial(_sample, root, images, split))


def _sample(root: Path, images: Mapping[str, Path], split: str, row: Row) -> Sample:
    name = row.data["key"]
    number = name.split("_")[0]
    if number not in _METHODS:
        raise UnknownLabelError(f"the method {number!r} is none of {', '.join(_METHODS)}")
    return Sample(
        path=images.get(name, root / "images" / f"{name}.png"),
        label=Label.TAMPERED if _METHODS[number] else Label.REAL,
        split=split,
        source="dd_vqa",
        generator=_METHODS[number],
        id=f"{split}/{name}",
        category="face",
        explanation=_explanation(row.data["value"]),
    )


def _explanation(questions: Mapping[str, Any]) -> str:
    """The first answer to each question; the others are of other annotators."""
    answers = (question["answer"] for _, question in sorted(questions.items()))
    return "\n".join(str(several[0]).strip() for several in answers if several)
