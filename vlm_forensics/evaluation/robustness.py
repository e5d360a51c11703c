"""What degradations do to verdicts and ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from vlm_forensics.evaluation.answers import Answers
from vlm_forensics.evaluation.judged import Case
from vlm_forensics.evaluation.metrics import auc, balanced_accuracy, bootstrap, mean
from vlm_forensics.evaluation.results import Cell, Table, Value


def auc_drop(positive: ArrayLike, clean: ArrayLike, degraded: ArrayLike) -> float:
    """AUC before less AUC after, on the same pictures; negative where it rose."""
    return auc(positive, clean) - auc(positive, degraded)


def table(clean: Sequence[Case], degraded: Mapping[str, Sequence[Case]]) -> Table:
    """One row per condition.

    Args:
        clean: of the equalised pictures.
        degraded: for every condition the same samples in the same order.
    """
    before = Answers(clean)
    rows: list[tuple[Cell, ...]] = [_row("equalised only", before, before)]
    rows += [_row(name, before, Answers(cases)) for name, cases in degraded.items()]
    note = (
        "Every picture was equalised, then degraded. A flip is any other answer than on the "
        "equalised picture, inconclusive included. The drop is resampled in pairs."
    )
    return Table(id="robustness", title="Robustness", note=note, rows=tuple(rows),
                 columns=("condition", "n", "verdict flips", "AUC real/forged", "AUC drop",
                          "balanced accuracy"))  # fmt: skip


def _row(name: str, before: Answers, after: Answers) -> tuple[Cell, ...]:
    forged = before.forged
    flips = np.asarray(before.called != after.called)
    return (
        name, len(before), Value.of(bootstrap(mean, (flips,))),
        Value.of(bootstrap(auc, (forged, after.ranks))),
        Value.of(bootstrap(auc_drop, (forged, before.ranks, after.ranks))),
        Value.of(bootstrap(balanced_accuracy, (forged, after.called_forged))),
    )  # fmt: skip
