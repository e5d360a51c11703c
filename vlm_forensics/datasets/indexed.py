"""A folder of images with an `index.csv`, the form that training and benchmarks read.

Columns: path, label, split, source; and where known id, mask, original, generator, category,
explanation, artifacts, boxes. Masks may be several files joined by `;`, meaning their union, and
artifacts likewise; boxes are JSON lists `[x, y, width, height, text]`. A tampered image with an
original and no mask gets the mask of their thresholded, cleaned difference.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vlm_forensics.datasets import tables
from vlm_forensics.datasets.base import (
    AnnotatedBox,
    DatasetAdapter,
    Row,
    Sample,
    Skipped,
    label_of,
    samples_of,
)
from vlm_forensics.errors import InputError
from vlm_forensics.taxonomy import Label

INDEX = "index.csv"
COLUMNS = ("path", "label", "split", "source", "id", "mask", "original", "generator", "category",
           "explanation", "artifacts", "boxes")  # fmt: skip
"""Of the index that `vlmf data build` writes."""
_LABELS = {label.value: label for label in Label}


class Indexed(DatasetAdapter):
    """Any folder with an `index.csv`."""

    name = "indexed"
    title = "folder with an index.csv"
    generic = True

    def probe(self, root: Path) -> bool:
        """An `index.csv` lies in the folder."""
        return (root / INDEX).is_file()

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Its rows in file order."""
        return samples_of(tables.csv_rows(root, root / INDEX), partial(_sample, root))


def read_index(root: Path) -> list[Sample]:
    """The samples listed in `root/index.csv`, in file order; a bad row is an error here.

    Raises:
        InputError: no index, a column is missing, or a row is not a sample.
    """
    index = root / INDEX
    if not index.is_file():
        raise InputError("not_found", f"{root.name} holds no index.csv", hint="see data_cards/")
    with index.open(newline="", encoding="utf-8") as file:
        try:
            return [_sample(root, Row(INDEX, cells)) for cells in csv.DictReader(file)]
        except KeyError as error:
            raise InputError("bad_index", f"index.csv has no column {error}",
                             hint="needed: path, label, split, source") from error  # fmt: skip
        except (ValueError, TypeError, AttributeError) as error:  # an unknown label, a short row
            raise InputError("bad_index", f"index.csv has a row that is no sample: {error}",
                             hint="labels: real, synthetic, tampered") from error  # fmt: skip


def _sample(root: Path, described: Row) -> Sample:
    row = described.data
    original = row.get("original") or ""
    return Sample(
        path=root / row["path"],
        label=label_of(row["label"], _LABELS),
        split=row["split"],
        source=row["source"],
        generator=row.get("generator") or "",
        masks=tuple(root / part for part in _parts(row, "mask")),
        original=root / original if original else None,
        id=row.get("id") or row["path"],
        category=row.get("category") or "",
        explanation=row.get("explanation") or "",
        artifacts=_parts(row, "artifacts"),
        boxes=tuple(AnnotatedBox(*box) for box in json.loads(row.get("boxes") or "[]")),
    )


def _parts(row: Mapping[str, str], column: str) -> tuple[str, ...]:
    return tuple(part for part in (row.get(column) or "").split(";") if part)


def index_row(sample: Sample, path: str, masks: Iterable[str], original: str) -> dict[str, Any]:
    """The row of a sample whose files have these names inside the folder."""
    boxes = [[box.x, box.y, box.width, box.height, box.text] for box in sample.boxes]
    cells = (path, sample.label.value, sample.split, sample.source, sample.id, ";".join(masks),
             original, sample.generator, sample.category, sample.explanation,
             ";".join(sample.artifacts),
             json.dumps(boxes, ensure_ascii=False) if boxes else "")  # fmt: skip
    return dict(zip(COLUMNS, cells, strict=True))


def sources(samples: Iterable[Sample]) -> list[str]:
    """Names of the sources, sorted."""
    return sorted({sample.source for sample in samples})
