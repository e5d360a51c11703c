"""NIST16 (Guan et al. 2019): the Nimble Challenge 2016 of NIST, probes altered by hand.

Layout: `reference/manipulation/NC2016-manipulation-ref.csv`, cells divided by `|`, names
`probe/NC2016_0098.jpg` and masks `reference/manipulation/mask/….png`, black where altered.
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
    label_of,
    samples_of,
    within,
)
from vlm_forensics.datasets.pixels import RecodedMask, not_white
from vlm_forensics.taxonomy import Label

_TABLE = "reference/manipulation/NC2016-manipulation-ref.csv"
"""The tasks `remove` and `splice` have tables of their own, over the same probes."""
_LABELS = {"y": Label.TAMPERED, "n": Label.REAL}
_OPERATIONS = {"Removal": "removal", "Splice": "splicing", "CopyClone": "copy-move"}


class Nist16(DatasetAdapter):
    """The table of the manipulation task, which lists all probes."""

    name = "nist16"
    title = "NIST16 (Nimble Challenge 2016)"

    def probe(self, root: Path) -> bool:
        """The table is where NIST puts it."""
        return (root / _TABLE).is_file()

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The rows of the table."""
        rows = tables.csv_rows(root, root / _TABLE, delimiter="|")
        yield from samples_of(rows, partial(_sample, root))


def _sample(root: Path, row: Row) -> Sample:
    label = label_of(row.data["IsTarget"], _LABELS)
    altered = label is Label.TAMPERED
    mask = within(root, row.data["ProbeMaskFileName"]) if altered else None
    return Sample(
        path=within(root, row.data["ProbeFileName"]),
        label=label,
        split="test",
        source=f"nist16/{row.data['Collection']}",
        generator=_operation(row.data) if altered else "",
        masks=(RecodedMask(mask, not_white),) if mask else (),
        id=row.data["ProbeFileName"],
    )


def _operation(cells: Mapping[str, Any]) -> str:
    marked = (
        name for kind, name in _OPERATIONS.items() if cells[f"IsManipulationType{kind}"] == "Y"
    )
    return next(marked, "")
