"""Tables about verdicts and probabilities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.calibration import CLASSES
from vlm_forensics.evaluation import baselines
from vlm_forensics.evaluation.answers import (
    ANSWERS,
    INCONCLUSIVE,
    METHOD_COLUMNS,
    NO_ANSWER,
    Answers,
    filled,
    forged_call,
    method_row,
    ranking,
)
from vlm_forensics.evaluation.metrics import (
    BINS,
    Figure,
    Statistic,
    auc,
    average_precision,
    balanced_accuracy,
    bootstrap,
    brier,
    calibration_error,
    confusion,
    macro_f1,
    mean,
    reliability,
    roc,
)
from vlm_forensics.evaluation.results import Bin, Cell, Curve, Table, Value

OURS = "vlm_forensics"
NO_THRESHOLD = "–"
CURVE_POINTS = 200
"""At most, in the result; every point counts in the figures."""


def figures(answers: Answers) -> dict[str, Figure]:
    """Every figure of the verdicts and probabilities, by the name that programs read."""
    forged, called, label = answers.forged, answers.called, answers.label
    binary, ranks, chance = answers.called_forged, answers.ranks, answers.probability
    decided = called < INCONCLUSIVE
    two = forged.astype(int)
    return {
        "accuracy": bootstrap(mean, (called == label,)),
        "macro_f1": bootstrap(macro_f1, (label, called)),
        "binary_accuracy": bootstrap(mean, (binary == two,)),
        "binary_macro_f1": bootstrap(macro_f1, (two, binary)),
        "balanced_accuracy": bootstrap(balanced_accuracy, (forged, binary)),
        "auc": bootstrap(auc, (forged, ranks)),
        "average_precision": bootstrap(average_precision, (forged, ranks)),
        "fpr_on_reals": bootstrap(mean, (binary[~forged] == 1,)),
        "recall_on_forged": bootstrap(mean, (binary[forged] == 1,)),
        "forged_called_real": bootstrap(mean, (binary[forged] == 0,)),
        "ece": _of_probability(calibration_error, forged, chance),
        "brier": _of_probability(brier, forged, chance),
        "coverage": bootstrap(mean, (decided,)),
        "risk": bootstrap(mean, (binary[decided] != two[decided],)),
        "balanced_accuracy_decided": bootstrap(
            balanced_accuracy, (forged[decided], binary[decided])),
        "no_answer": bootstrap(mean, (called == NO_ANSWER,)),
    }  # fmt: skip


def _of_probability(
    statistic: Statistic, forged: NDArray[np.bool_], chance: NDArray[np.float64]
) -> Figure:
    """Not defined where nothing gives a probability."""
    if np.isnan(chance).any():
        return Figure(np.nan, np.nan, np.nan)
    return bootstrap(statistic, (forged, chance))


NAMES = {
    "accuracy": "accuracy, verdict = label",
    "macro_f1": "macro-F1, verdict = label",
    "binary_accuracy": "accuracy, forged or real",
    "binary_macro_f1": "macro-F1, forged or real",
    "balanced_accuracy": "balanced accuracy, inconclusive is wrong",
    "fpr_on_reals": "reals called forged (FPR)",
    "recall_on_forged": "forged called forged (TPR)",
    "forged_called_real": "forged called real",
    "ece": f"expected calibration error, {BINS} bins",
    "brier": "Brier score",
    "coverage": "coverage: share with a verdict",
    "risk": "risk: share of given verdicts that are wrong",
    "balanced_accuracy_decided": "balanced accuracy where a verdict is given",
    "no_answer": "no answer: unparsed text or failure, counted as wrong",
}


def tables(answers: Answers, found: dict[str, Figure]) -> list[Table]:
    """Every table that these pictures allow.

    Args:
        answers: of the pictures.
        found: their `figures`.
    """
    made = (methods(answers), verdicts(found, calibrated=answers.calibrated), confusions(answers),
            by_source(answers), by_generator(answers), by_category(answers),
            shortcuts(answers))  # fmt: skip
    return [table for table in made if table is not None]


def verdicts(found: dict[str, Figure], *, calibrated: bool = True) -> Table:
    """The figures at the shipped thresholds."""
    rows = tuple((NAMES[key], Value.of(found[key])) for key in NAMES)
    note = "At the thresholds in the model's calibration record, which evaluation never changes."
    if not calibrated:
        note = "Without a calibration: verdicts, and no probability that could be scored."
    return Table(id="verdicts", title="Verdicts and probabilities", note=note,
                 columns=("figure", "value (95 % interval)"), rows=rows)  # fmt: skip


def methods(answers: Answers) -> Table:
    """Ours beside what it has to beat."""
    called = answers.called_forged
    rows = [_method(f"{OURS}, probability of forgery" if answers.calibrated else OURS,
                    method_row(answers, answers.ranks, called))]  # fmt: skip
    if answers.calibrated:
        rows.insert(0, _method(OURS, method_row(answers, answers.shares, called)))
    for baseline in baselines.BASELINES:
        scores = baseline_scores(answers, baseline)
        if scores is not None:
            chance = scores if scores.ndim == 1 else 1 - scores[:, 0]
            found = method_row(answers, scores, (chance >= 0.5).astype(int))
            row = _method(baseline.title, found)
            rows.append(row if baseline.calls else (*row[:-1], NO_THRESHOLD))
    constant = np.full(len(answers), float(answers.forged.mean() > 0.5))
    rows.append(_method("majority class", method_row(answers, constant, constant.astype(int))))
    ours = (
        "The first row ranks synthetic and tampered each by its own probability against real, the "
        "second all by the probability of forgery. "
    )
    if not answers.calibrated:
        ours = "The first row ranks by a score that is no probability. "
    note = ours + (
        "TPR is read off at the false positive rate of these pictures. Baselines call at 0.5 and "
        "never abstain; a score without a threshold only ranks."
    )
    return Table(id="methods", title="Methods", note=note, columns=METHOD_COLUMNS, rows=tuple(rows))


def _method(name: str, found: list[Figure]) -> tuple[Cell, ...]:
    return (name, *(Value.of(figure) for figure in found))


def baseline_scores(answers: Answers, baseline: baselines.Baseline) -> NDArray[np.float64] | None:
    """Scores of all pictures; the worst where a picture has no measurement, None where all lack."""
    given = [case.judged.baselines.get(baseline.name) for case in answers.cases]
    known = np.asarray([numbers is not None for numbers in given], bool)
    if not known.any():
        return None
    scores = baseline.scores(np.asarray([numbers for numbers in given if numbers is not None]))
    if scores.ndim == 1:
        found = np.where(answers.forged, 0.0, 1.0)
        found[known] = scores
        return found
    found = filled([None] * len(answers), answers.label)
    found[known] = scores
    return found


def confusions(answers: Answers) -> Table:
    """How often each label was called what."""
    cells = confusion(answers.label, answers.called, len(CLASSES), len(ANSWERS))
    rows: list[tuple[Cell, ...]] = [
        (str(label), *map(int, cells[n])) for n, label in enumerate(CLASSES)
    ]
    return Table(id="confusion", title="Confusion matrix", note="Rows: truth. Columns: answer.",
                 columns=("truth", *ANSWERS), rows=tuple(rows))  # fmt: skip


def by_source(answers: Answers) -> Table:
    """Figures of every source alone."""
    return _groups(answers, "sources", "source", answers.source,
                   lambda _, own: own, "A source with one class has no AUC.")  # fmt: skip


def by_category(answers: Answers) -> Table | None:
    """Figures of every kind of content, where the dataset tells it."""
    if not any(answers.category):
        return None
    return _groups(answers, "categories", "category", answers.category, lambda _, own: own, "")


def by_generator(answers: Answers) -> Table | None:
    """Every generator or operation against real pictures."""
    kept = answers.forged & (answers.generator != "")
    if not kept.any():
        return None
    names = np.where(kept, answers.generator, "")

    def with_reals(every: Answers, own: NDArray[np.bool_]) -> NDArray[np.bool_]:
        reals = ~every.forged
        near = reals & np.isin(every.source.astype(str), every.source[own].astype(str))
        return own | (near if near.any() else reals)

    note = "Against the reals of the same sources, or of all where these have none."
    return _groups(answers, "generators", "generator", names, with_reals, note)


def _groups(
    answers: Answers, name: str, column: str, keys: NDArray[np.object_],
    members: Callable[[Answers, NDArray[np.bool_]], NDArray[np.bool_]], note: str,
) -> Table:  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for key in sorted({str(key) for key in keys if key}):
        own = np.asarray(keys == key)
        group = answers.of(members(answers, own))
        right = answers.called[own] == answers.label[own]
        called = forged_call(answers.called[own])
        two = answers.forged[own].astype(int)
        rows.append((
            key, int(own.sum()), Value.of(ranking(group, group.ranks, None)),
            Value.of(bootstrap(balanced_accuracy, (group.forged, group.called_forged))),
            Value.of(bootstrap(mean, (right,))), Value.of(bootstrap(mean, (called == two,))),
        ))  # fmt: skip
    return Table(id=name, title=f"By {column}", note=note, rows=tuple(rows),
                 columns=(column, "n", "AUC real/forged", "balanced accuracy",
                          "verdict = label", "forged or real, right"))  # fmt: skip


def shortcuts(answers: Answers) -> Table | None:
    """AUC of file facts alone, real against all forged, before and after equalising."""
    known = [case.judged.facts is not None for case in answers.cases]
    kept = answers.of(np.asarray(known, bool))
    if not len(kept):
        return None
    rows: list[tuple[Cell, ...]] = []
    for when in ("before", "after"):
        facts = np.asarray([case.judged.facts[when] for case in kept.cases if case.judged.facts])
        for name, columns in (("format, size, quantiser", facts[:, :-1]),
                              ("these and bytes per pixel", facts)):  # fmt: skip
            scores = baselines.shortcut_scores(columns, kept.forged)
            rows.append((f"{when}: {name}", Value.of(bootstrap(auc, (kept.forged, scores)))))
    note = (
        "A random forest on the file's facts alone, cross-validated; 0.5 means that they say "
        "nothing. Before: the dataset's files. After: what the model was given."
    )
    return Table(id="shortcuts", title="Shortcut probe", note=note, rows=tuple(rows),
                 columns=("file facts", "AUC real/forged"))  # fmt: skip


def curves(answers: Answers) -> tuple[Curve, ...]:
    """ROC curves of ours and of every baseline that has a threshold."""
    named = {OURS: answers.ranks}
    for baseline in (baseline for baseline in baselines.BASELINES if baseline.calls):
        scores = baseline_scores(answers, baseline)
        if scores is not None:
            named[baseline.title] = scores if scores.ndim == 1 else 1 - scores[:, 0]
    found = []
    for name, scores in named.items():
        x, y = roc(answers.forged, scores)
        chosen = np.unique(np.linspace(0, max(len(x) - 1, 0), CURVE_POINTS).astype(int))
        if len(x):
            found.append(Curve(name=name, x=tuple(x[chosen].round(6).tolist()),
                               y=tuple(y[chosen].round(6).tolist())))  # fmt: skip
    return tuple(found)


def reliability_bins(answers: Answers) -> tuple[Bin, ...]:
    """The reliability diagram of the probability of forgery; empty ranges are left out."""
    if not answers.calibrated:
        return ()
    bins = reliability(answers.forged, answers.probability)
    return tuple(
        Bin(count=int(count), confidence=round(float(confidence), 6),
            frequency=round(float(frequency), 6))
        for count, confidence, frequency in zip(*bins, strict=True) if count
    )  # fmt: skip
