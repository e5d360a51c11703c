"""What an evaluation found: tables, single figures and curves, as one pydantic model."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from vlm_forensics.evaluation.metrics import Figure


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Value(_Part):
    """A score and its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, figure: Figure) -> Self:
        """The figure, to six digits, which is far below its interval."""
        numbers = (None if math.isnan(number) else round(number, 6) for number in figure)
        value, low, high = numbers
        return cls(value=value, low=low, high=high)

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "–"
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


Cell = Value | int | float | str


class Table(_Part):
    """Rows of named figures; the first cell of a row is its name."""

    id: str
    title: str
    note: str = ""
    """What a reader must know to read it."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Curve(_Part):
    """Points of one line."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Bin(_Part):
    """One range of probability in the reliability diagram."""

    count: int
    confidence: float
    frequency: float


class SkippedSample(_Part):
    """Something of a dataset that could not be evaluated."""

    data: str
    """Name of the dataset folder."""
    where: str
    code: str
    why: str


class Setting(_Part):
    """What was evaluated and how; enough to do it again."""

    model: str
    digest: str
    """Over every file of the model; of questions, over models, prompts, probes and calibration."""
    how: str = ""
    """How a vision-language model was asked and judged; empty for a tuned model."""
    package: str
    """Version of vlm_forensics."""
    data: tuple[str, ...]
    """Names of the dataset folders."""
    datasets: tuple[str, ...]
    """Adapters that read them."""
    protocol: str
    split: str
    view: Literal["equalised", "as is"]
    rationale: bool
    limit: int | None
    left_out: tuple[str, ...]
    """Sources that are not part of the image level."""
    encoder: str
    seed: int = 0


class Evaluation(_Part):
    """The result of `vlmf eval`."""

    schema_version: Literal["1.0"] = "1.0"
    setting: Setting
    counts: dict[str, int]
    """Evaluated pictures by label."""
    warnings: tuple[str, ...]
    figures: dict[str, Value]
    """Of the model, by name, for programs: `accuracy`, `auc`, `giou` …"""
    tables: tuple[Table, ...]
    roc: tuple[Curve, ...]
    reliability: tuple[Bin, ...]
    failed: dict[str, int]
    """Pictures on which the system gave no answer, by error code; they count as wrong."""
    skipped: tuple[SkippedSample, ...]

    def to_json(self) -> str:
        """The result as JSON text; the same run gives the same text."""
        return self.model_dump_json(indent=1) + "\n"

    def table(self, name: str) -> Table | None:
        """The table of this id, if there is one."""
        return next((table for table in self.tables if table.id == name), None)
