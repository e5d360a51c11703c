"""How much each score is worth: figures that `benchmarks/training_free.py` measured and wrote."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from vlm_forensics.training_free.scores import Score, table

SHIPPED = Path(__file__).with_name("measured.json")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Worth(_Part):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


class Row(_Part):
    """One score, or all together, on the pictures of one split."""

    name: str
    """Of the score; `combined`, or the model, for rows beside them."""
    auc: dict[str, Worth]
    """By label of the forged: `synthetic`, `tampered`. Below 0.5 the expected side was wrong."""
    flagged: dict[str, Worth]
    """Share of each label that is flagged; none for a row without a rule."""


class Split(_Part):
    """The pictures of one split, equalised."""

    name: Literal["val", "test"]
    counts: dict[str, int]
    sources: tuple[str, ...]
    rows: tuple[Row, ...]


class Measured(_Part):
    """Figures of all scores, with what they were measured on."""

    command: str
    """That wrote them, without folders."""
    model: str
    """Whose encoder was used; `settings` names its weights."""
    settings: dict[str, str]
    reals: int
    """Validation photographs that thresholds and ranks come from."""
    splits: tuple[Split, ...]

    @classmethod
    @cache
    def load(cls) -> Measured:
        """The shipped figures."""
        return cls.model_validate_json(SHIPPED.read_bytes())

    def of(self, score: Score) -> Worth | None:
        """AUC on the unseen sources against the kind of forgery the score was made for."""
        rows = (row for split in self.splits if split.name == "test" for row in split.rows)
        found = next((row for row in rows if row.name == score.name), None)
        return None if found is None else found.auc.get(score.finds)


def markdown(found: Measured, only: str = "") -> str:
    """The figures as tables, one per split, or that of one split."""
    encoder = found.settings.get("encoder") or "none"
    parts = [
        f"Written by `{found.command}`; encoder of {encoder}; "
        f"thresholds and ranks from {found.reals} real pictures of val."
    ]
    for split in (split for split in found.splits if only in ("", split.name)):
        counts = ", ".join(f"{n} {label}" for label, n in split.counts.items())
        parts.append(f"### {split.name}: {counts}\n\nSources: {', '.join(split.sources)}.")
        parts.append(_table(split))
    return "\n\n".join(parts) + "\n"


def _table(split: Split) -> str:
    labels = list(split.counts)
    head = ["score", *(f"AUC real/{label}" for label in labels[1:]),
            *(f"{label} flagged" for label in labels)]  # fmt: skip
    lines = []
    for row in split.rows:
        figures = [*(row.auc.get(label) for label in labels[1:]),
                   *(row.flagged.get(label) for label in labels)]  # fmt: skip
        lines.append([f"`{row.name}`", *("–" if one is None else str(one) for one in figures)])
    return table(head, lines)
