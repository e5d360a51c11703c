"""What are the training-free scores worth? Equalised pictures of two splits, thresholds from val.

    VLMF_FORGE_WEIGHTS=DIR python benchmarks/training_free.py --data DIR --limit 40 --write

The pictures are judged as `vlmf eval` judges them and kept in its cache. `--write` stores the
figures in the package, from where reports and docs/training_free.md take them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without installation

from vlm_forensics import datasets
from vlm_forensics.evaluation.baselines import BASELINES
from vlm_forensics.evaluation.conditions import SQUARE
from vlm_forensics.evaluation.evaluate import limited
from vlm_forensics.evaluation.judged import Case, Look
from vlm_forensics.evaluation.metrics import Figure, auc, bootstrap, wilson
from vlm_forensics.evaluation.running import Task, judge_all
from vlm_forensics.fitting.reals import summed_up
from vlm_forensics.taxonomy import Label, Verdict
from vlm_forensics.training_free import SCORES, Assessment, Standing, TrainingFree
from vlm_forensics.training_free.measured import SHIPPED, Measured, Row, Split, Worth, markdown
from vlm_forensics.training_free.meter import Meter
from vlm_forensics.training_free.reals import Reals
from vlm_forensics.weights import cache_folder

MODEL = "vlmf-mini"
FORGED = (Label.SYNTHETIC, Label.TAMPERED)
SCORE_OF = dict(zip([one.name for one in BASELINES if not one.calls],
                    [score.name for score in SCORES], strict=True))  # fmt: skip
"""Name in the cache of `vlmf eval` → name of the score."""


class Ranked(NamedTuple):
    """One row before it is summed up."""

    scores: NDArray[np.float64]  # [N], higher = more forged; NaN where it was not measured
    flagged: NDArray[np.bool_]  # [N]


def values(case: Case) -> dict[str, float]:
    """Training-free scores of one picture."""
    found = case.judged.baselines
    return {score: found[name][0] for name, score in SCORE_OF.items() if name in found}


def judged(data: Sequence[Path], split: str, limit: int | None, workers: int) -> list[Case]:
    """The pictures of one split, equalised, that could be judged."""
    every = [s for root in data for s in datasets.open_dataset(root).samples if s.split == split]
    tasks = [Task(sample, Look(SQUARE, baselines=True)) for sample in limited(every, limit)]
    cache = cache_folder() / "evaluation" / "judged.jsonl"
    cases = judge_all(tasks, MODEL, cache, workers=workers)
    return [case for case in cases if case.judged.classes and values(case)]


def calibrated(cases: Sequence[Case], settings: dict[str, str]) -> Reals:
    """The calibration that `vlmf calibrate` would write for the real pictures among these."""
    reals = [case for case in cases if case.sample.label is Label.REAL]
    rows = {f"{n:064x}": values(case) for n, case in enumerate(reals)}
    return summed_up(rows, settings, {})


def ranked(cases: Sequence[Case], rule: TrainingFree) -> dict[str, Ranked]:
    """Every row by name: the scores, all together, and the tuned default."""
    found = [rule.compare(values(case)) for case in cases]
    rows = {score.name: single(found, score.name) for score in SCORES}
    together = np.asarray([np.nan if a.p_value is None else -a.p_value for a in found])
    unusual = np.asarray([a.standing is Standing.UNUSUAL for a in found])
    shares = np.asarray([1 - case.judged.classes[0] for case in cases if case.judged.classes])
    accused = np.asarray([case.judged.verdict in (Verdict.SYNTHETIC, Verdict.TAMPERED)
                          for case in cases])  # fmt: skip
    return rows | {"combined": Ranked(together, unusual), MODEL: Ranked(shares, accused)}


def single(found: Sequence[Assessment], name: str) -> Ranked:
    """One score on every picture."""
    own = [next((f for f in one.findings if f.score.name == name), None) for one in found]
    scores = [np.nan if f is None else float(f.score.oriented(np.asarray(f.value))) for f in own]
    return Ranked(np.asarray(scores), np.asarray([f is not None and f.flagged for f in own]))


def row(name: str, one: Ranked, cases: Sequence[Case]) -> Row | None:
    """Figures of one row; None for a score that no picture has."""
    label = np.asarray([case.sample.label for case in cases])
    source = np.asarray([case.sample.source for case in cases])
    known = np.isfinite(one.scores)
    if not known.any():
        return None
    areas = {}
    for kind in FORGED:
        own = (label == kind) & known
        # Reals of other sources would let a score win by telling sources apart.
        near = (label == Label.REAL) & known & np.isin(source, source[own])
        if own.any() and near.any():
            both = own | near
            areas[str(kind)] = worth(bootstrap(auc, (own[both], one.scores[both])))
    shares = {str(kind): worth(wilson(int(one.flagged[of].sum()), int(of.sum())))
              for kind in Label if (of := (label == kind) & known).any()}  # fmt: skip
    return Row(name=name, auc=areas, flagged=shares)


def worth(figure: Figure) -> Worth:
    """A figure to six digits."""
    value, low, high = (round(number, 6) for number in figure)
    return Worth(value=value, low=low, high=high)


def split_of(name: Literal["val", "test"], cases: Sequence[Case], rule: TrainingFree) -> Split:
    """Every row of one split."""
    rows = (row(each, one, cases) for each, one in ranked(cases, rule).items())
    labels = [case.sample.label for case in cases]
    return Split(
        name=name, counts={str(label): labels.count(label) for label in Label},
        sources=tuple(sorted({case.sample.source for case in cases})),
        rows=tuple(found for found in rows if found),
    )  # fmt: skip


def measured(
    cases: Mapping[Literal["val", "test"], Sequence[Case]], command: str, meter: Meter
) -> Measured:
    """Both splits, against the real pictures of val."""
    reals = calibrated(cases["val"], meter.settings())
    rule = TrainingFree(reals, meter)
    return Measured(
        command=command, model=MODEL, settings=reals.settings,
        reals=len(reals.sha256),
        splits=tuple(split_of(name, found, rule) for name, found in cases.items()),
    )  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Judges, sums up, prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--limit", type=int, help="pictures of each source, label and split")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"replace {SHIPPED.name}")
    run = parser.parse_args(argv)
    names: tuple[Literal["val", "test"], ...] = ("val", "test")
    cases = {name: judged(run.data, name, run.limit, run.workers) for name in names}
    limit = f" --limit {run.limit}" if run.limit else ""
    folders = "".join(f" --data {root.name}" for root in run.data)
    command = f"python benchmarks/training_free.py{folders}{limit}"
    found = measured(cases, command, Meter.load())
    print(markdown(found))
    if run.write:
        SHIPPED.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
