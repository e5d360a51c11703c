"""LOKI (Ye et al. 2024, arXiv 2410.09732), its images: real and synthetic, some with marked flaws.

Layout: `data_json/image/true_or_false.json`, two questions for each image, and
`open_ended_vqa.json`, in UTF-16, with boxes and texts for some synthetic ones; the images are in
`media_data/image/`, which the JSON names. Video, audio, text and 3D are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm_forensics.datasets import tables
from vlm_forensics.datasets.base import (
    AnnotatedBox,
    DatasetAdapter,
    Row,
    Sample,
    SkipCode,
    Skipped,
    label_of,
    samples_of,
    within,
)
from vlm_forensics.taxonomy import Label

_QUESTIONS = Path("data_json", "image", "true_or_false.json")
_FLAWS = Path("data_json", "image", "open_ended_vqa.json")
_LABELS = {"real": Label.REAL, "fake": Label.SYNTHETIC}
_KIND = re.compile(r"image_tf_image_(real|fake)_ask_(real|fake)_(\w+)")


@dataclass(frozen=True, slots=True)
class _Flaws:
    """What the annotators marked in one image."""

    text: str = ""
    boxes: tuple[AnnotatedBox, ...] = ()


class Loki(DatasetAdapter):
    """The image questions and their annotations."""

    name = "loki"
    title = "LOKI (images)"

    def probe(self, root: Path) -> bool:
        """The questions about images lie beside the media."""
        return (root / _QUESTIONS).is_file() and (root / "media_data").is_dir()

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """One sample an image, in the order of the first question about it."""
        flaws: dict[str, _Flaws] = {}
        rows = tables.json_rows(root, root / _FLAWS) if (root / _FLAWS).is_file() else ()
        for row in rows:
            if isinstance(row, Skipped):
                yield row
                continue
            try:
                within(root, row.data["image_path"])
                flaws[row.data["image_path"]] = _flaws(row)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                yield Skipped(row.where, SkipCode.BROKEN_ROW, f"annotation: {error!r}")
        yield from _asked_once(root, flaws)


def _asked_once(root: Path, flaws: Mapping[str, _Flaws]) -> Iterator[Sample | Skipped]:
    """Images that are asked about, then annotated ones that are not.

    The second question about an image adds nothing, unless it contradicts the first.
    """
    labels: dict[str, Label] = {}
    questions = tables.json_rows(root, root / _QUESTIONS)
    for item in samples_of(questions, lambda row: _asked(root, row, flaws)):
        if isinstance(item, Skipped):
            yield item
        elif item.id not in labels:
            labels[item.id] = item.label
            yield item
        elif labels[item.id] is not item.label:
            why = "two questions contradict each other; the first counts"
            yield Skipped(item.id, SkipCode.BROKEN_ROW, why)
    for name, marked in flaws.items():
        if name not in labels:
            yield _sample(root, name, Label.SYNTHETIC, "", marked)


def _asked(root: Path, row: Row, flaws: Mapping[str, _Flaws]) -> Sample:
    """The image of one question; `image_real_ask_fake` asks whether a real image is fake."""
    name = row.data["image_path"]
    found = _KIND.fullmatch(row.data["question_type"])
    if found is None:
        raise ValueError(f"unknown question type {row.data['question_type']!r}")
    kind, asked, category = found.groups()
    if (row.data["answer"].strip().lower() == "yes") is not (kind == asked):
        raise ValueError("the answer contradicts the question type")
    return _sample(root, name, label_of(kind, _LABELS), category, flaws.get(name, _Flaws()))


def _sample(root: Path, name: str, label: Label, category: str, marked: _Flaws) -> Sample:
    return Sample(
        path=within(root, name),
        label=label,
        split="test",
        source=f"loki/{category or 'annotated'}",
        id=name,
        category=category,
        explanation=marked.text,
        boxes=marked.boxes,
    )


def _flaws(row: Row) -> _Flaws:
    """Texts about the whole image first, then those about places."""
    problems = row.data["problems"]
    boxes = tuple(_box(part["region"], part["desc"]) for part in problems["regional"])
    texts = [whole["desc"] for whole in problems["global"]] + [box.text for box in boxes]
    return _Flaws("\n".join(text.strip() for text in texts if text.strip()), boxes)


def _box(region: Sequence[float], text: str) -> AnnotatedBox:
    x, y, width, height = map(float, region)
    return AnnotatedBox(x, y, width, height, text)
