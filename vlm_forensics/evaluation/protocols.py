"""Published protocols by name: which data, which split, and the figures that others published.

One protocol is one YAML file in `published/`.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from vlm_forensics.errors import InputError
from vlm_forensics.evaluation.results import Cell, Table, Value
from vlm_forensics.registry import suggestion

_FOLDER = files("vlm_forensics.evaluation").joinpath("published")

Metric = Literal[
    "accuracy", "macro_f1", "binary_accuracy", "binary_macro_f1", "balanced_accuracy", "auc",
    "average_precision", "pixel_f1", "giou", "ciou", "oracle_pixel_f1", "oracle_giou",
    "oracle_ciou", "rouge_l", "cosine",
]  # fmt: skip
"""Names in `Evaluation.figures` that an anchor may stand beside."""


class Anchor(BaseModel):
    """One published figure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    metric: Metric
    value: float = Field(ge=0, le=1)
    source: str = Field(min_length=1)
    """Where the figure was read; `secondary source` where it is not the authors' own text."""
    caveat: str
    """Why it may not be comparable; empty when nothing is known."""


class Protocol(BaseModel):
    """One published way to evaluate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    dataset: str
    """Name of the adapter in `datasets/`."""
    split: Literal["val", "test", "all"]
    """`all` where the authors publish pictures for testing only, without naming a split."""
    way: Literal["", "truthlens"] = ""
    """How a vision-language model is asked, where the protocol says so; empty for any system."""
    notes: str
    anchors: tuple[Anchor, ...]


def names() -> tuple[str, ...]:
    """Names of all protocols, in alphabetical order."""
    found = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def load(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        InputError: there is none (`unknown_protocol`).
    """
    if name not in names():
        hint = suggestion(name, names())
        raise InputError("unknown_protocol", f"no protocol is called {name!r}", hint=hint)
    text = _FOLDER.joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return Protocol.model_validate(yaml.safe_load(text))


def table(protocol: Protocol, ours: dict[str, Value]) -> Table:
    """The published figures with ours of the same name beside them.

    Args:
        protocol: whose anchors are printed.
        ours: `Evaluation.figures`.
    """
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (anchor.system, anchor.metric, anchor.value,
         ours.get(anchor.metric, "not measured"), anchor.source, anchor.caveat or "–")
        for anchor in protocol.anchors
    )  # fmt: skip
    note = f"Published figures, not measured here. {protocol.notes}".strip()
    columns = ("system", "figure", "published", "ours here", "source", "caveat")
    title = f"Published: {protocol.title}"
    return Table(id="anchors", title=title, note=note, columns=columns, rows=rows)
