"""Scores with their 95 % intervals, and the table they are printed in."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 1000
BINS = 15
"""Of the reliability diagram."""


class Figure(NamedTuple):
    """A score and the interval around it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "–"
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


Statistic = Callable[..., float]


def bootstrap(
    statistic: Statistic, arrays: Sequence[ArrayLike], draws: int = DRAWS, seed: int = 0
) -> Figure:
    """The statistic and its 95 % percentile interval over resampled images (Efron 1979).

    Args:
        statistic: takes the arrays, gives a number; NaN where it is not defined.
        arrays: `[N, ...]` each, resampled together along their first axis.
        draws: how many resamples; those without a defined value are left out.
        seed: of the resampling.

    Returns:
        NaN for all three when the statistic is not defined on the arrays themselves.

    Raises:
        ValueError: the arrays have different lengths.
    """
    columns = [np.asarray(array) for array in arrays]
    count = len(columns[0])
    if any(len(column) != count for column in columns):
        raise ValueError("the arrays have different lengths")
    value = float(statistic(*columns)) if count else float("nan")
    if np.isnan(value):
        return Figure(value, value, value)
    rng = np.random.default_rng(seed)
    index = (rng.integers(count, size=count) for _ in range(draws))
    found = np.asarray([statistic(*(column[i] for column in columns)) for i in index])
    low, high = np.nanpercentile(found, (2.5, 97.5))
    return Figure(value, float(low), float(high))


def mean(values: ArrayLike) -> float:
    """The mean; NaN of nothing."""
    found = np.asarray(values, np.float64)
    return float(found.mean()) if found.size else float("nan")


def auc(positive: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties half.

    Computed from ranks as Mann–Whitney's U.

    Args:
        positive: `[N]` booleans.
        scores: `[N]`, higher means positive.

    Returns:
        In [0, 1]; NaN when a class is missing.
    """
    from scipy.stats import rankdata

    truth = np.asarray(positive, bool)
    ones, zeros = int(truth.sum()), int((~truth).sum())
    if not ones or not zeros:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[truth].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def average_precision(positive: ArrayLike, scores: ArrayLike) -> float:
    """Mean precision over the positives in falling order of score; tied scores fall together.

    Args:
        positive: `[N]` booleans.
        scores: `[N]`, higher means positive.

    Returns:
        In (0, 1]; NaN when a class is missing.
    """
    hits, alarms = _cumulated(positive, scores)
    if not hits[-1] or not alarms[-1]:
        return float("nan")
    recall = hits / hits[-1]
    precision = hits[1:] / (hits[1:] + alarms[1:])
    return float((np.diff(recall) * precision).sum())


def tpr_at_fpr(positive: ArrayLike, scores: ArrayLike, fpr: float) -> float:
    """The largest share of positives above a cut that at most `fpr` of the negatives reach.

    The cut is read off the evaluated pictures, as everywhere in the literature: it says what the
    ranking allows, not what the shipped threshold does.

    Returns:
        In [0, 1]; NaN when a class is missing.
    """
    hits, alarms = _cumulated(positive, scores)
    if not hits[-1] or not alarms[-1]:
        return float("nan")
    return float(hits[alarms / alarms[-1] <= fpr].max() / hits[-1])


def roc(positive: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False and true positive rates from (0, 0) to (1, 1), one point per distinct score.

    Empty arrays when a class is missing.
    """
    hits, alarms = _cumulated(positive, scores)
    if not hits[-1] or not alarms[-1]:
        return np.zeros(0), np.zeros(0)
    return alarms / alarms[-1], hits / hits[-1]


def _cumulated(
    positive: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positives and negatives at or above every distinct score, falling; both start with 0."""
    truth, values = np.asarray(positive, bool), np.asarray(scores, np.float64)
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    last = np.flatnonzero(np.append(np.diff(values), 1)[: len(values)])
    return (np.append(0, np.cumsum(truth)[last]), np.append(0, np.cumsum(~truth)[last]))


def brier(positive: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared distance of the probability from what was true (Brier 1950), in [0, 1]."""
    truth = np.asarray(positive, np.float64)
    return mean((np.asarray(probabilities, np.float64) - truth) ** 2)


class Bins(NamedTuple):
    """Pictures sorted into equal ranges of probability; `[BINS]` each, NaN where none fell."""

    sizes: NDArray[np.int64]
    """Pictures in the bin."""
    confidence: NDArray[np.float64]
    """Mean probability of the pictures in the bin."""
    frequency: NDArray[np.float64]
    """Share of them that are positive."""


def reliability(positive: ArrayLike, probabilities: ArrayLike) -> Bins:
    """The reliability diagram of these probabilities."""
    truth = np.asarray(positive, np.float64)
    values = np.asarray(probabilities, np.float64)
    where = np.minimum((values * BINS).astype(int), BINS - 1)
    count = np.bincount(where, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return Bins(count, np.bincount(where, values, BINS) / count,
                    np.bincount(where, truth, BINS) / count)  # fmt: skip


def calibration_error(positive: ArrayLike, probabilities: ArrayLike) -> float:
    """Expected calibration error over `BINS` equal ranges (Guo et al. 2017), in [0, 1]."""
    bins = reliability(positive, probabilities)
    total = bins.sizes.sum()
    if not total:
        return float("nan")
    return float(np.nansum(bins.sizes * np.abs(bins.confidence - bins.frequency)) / total)


def confusion(truth: ArrayLike, called: ArrayLike, rows: int, columns: int) -> NDArray[np.int64]:
    """How often each class was called what, `[rows, columns]`.

    Args:
        truth: `[N]` classes, 0 to `rows - 1`.
        called: `[N]` answers, 0 to `columns - 1`.
        rows: number of classes.
        columns: number of answers, the classes first.
    """
    cells = np.asarray(truth, int) * columns + np.asarray(called, int)
    return np.bincount(cells, minlength=rows * columns).reshape(rows, columns)


def macro_f1(truth: ArrayLike, called: ArrayLike) -> float:
    """Mean F1 of the classes that occur in `truth`; an answer that is no class is a miss.

    Returns:
        In [0, 1]; NaN of nothing.
    """
    labels, answers = np.asarray(truth, int), np.asarray(called, int)
    found = []
    for label in np.unique(labels):
        both = ((labels == label) & (answers == label)).sum()
        found.append(2 * both / ((labels == label).sum() + (answers == label).sum()))
    return mean(found)


def balanced_accuracy(positive: ArrayLike, called: ArrayLike) -> float:
    """Mean of the shares of positives and of negatives that were called what they are.

    Args:
        positive: `[N]` booleans.
        called: `[N]`, 1 for called positive, 0 for called negative; anything else, such as an
            abstention, is right for neither.

    Returns:
        In [0, 1]; NaN when a class is missing.
    """
    truth, said = np.asarray(positive, bool), np.asarray(called)
    if truth.all() or not truth.any():
        return float("nan")
    return float(((said[truth] == 1).mean() + (said[~truth] == 0).mean()) / 2)


def wilson(hits: int, count: int) -> Figure:
    """A share with Wilson's 95 % score interval (1927), sound for small counts."""
    if not count:
        return Figure(*[float("nan")] * 3)
    z = NormalDist().inv_cdf(0.975)
    share, spread = hits / count, z * z / count
    centre = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return Figure(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def within_folds(scores: ArrayLike, folds: ArrayLike) -> NDArray[np.float64]:
    """Scores as ranks in (0, 1) among their fold, so that folds of one model each can be pooled.

    Without this, a constant score that differs by fold only leaks the folds' class shares.
    """
    from scipy.stats import rankdata

    values, groups = np.asarray(scores, np.float64), np.asarray(folds)
    ranks = np.zeros(len(values))
    for group in np.unique(groups):
        inside = groups == group
        ranks[inside] = (rankdata(values[inside]) - 0.5) / inside.sum()
    return ranks


def as_json(value: Any) -> str:
    """Figures nested in dictionaries and lists as JSON text; what is not defined is null."""
    return json.dumps(_defined(value), indent=1) + "\n"


def _defined(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _defined(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
