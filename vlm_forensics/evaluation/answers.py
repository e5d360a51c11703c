"""Judged pictures as columns: truth, verdicts and scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm_forensics.calibration import CLASSES
from vlm_forensics.evaluation.judged import Case, Judged
from vlm_forensics.evaluation.metrics import (
    Figure,
    Statistic,
    auc,
    average_precision,
    balanced_accuracy,
    bootstrap,
    tpr_at_fpr,
)
from vlm_forensics.taxonomy import Label, Verdict

ANSWERS = (*(str(label) for label in CLASSES), str(Verdict.INCONCLUSIVE), "no answer")
"""What a picture can be called. `no answer`: the text did not parse, or the system failed."""
INCONCLUSIVE, NO_ANSWER = 3, 4


class Answers:
    """Columns of N judged pictures.

    Args:
        cases: with readable samples.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = list(cases)
        samples = [case.sample for case in cases]
        self.label = np.asarray([CLASSES.index(sample.label) for sample in samples], int)
        self.source = np.asarray([sample.source for sample in samples], object)
        self.generator = np.asarray([sample.generator for sample in samples], object)
        self.category = np.asarray([sample.category for sample in samples], object)
        self.called = np.asarray([answer_of(case.judged) for case in cases], int)
        self.shares = filled([case.judged.classes for case in cases], self.label)
        self.calibrated = all(case.judged.calibrated for case in cases)
        """There are probabilities, and not only scores that rank."""

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def forged(self) -> NDArray[np.bool_]:
        """`[N]`, the truth is synthetic or tampered."""
        return np.asarray(self.label != CLASSES.index(Label.REAL))

    @property
    def called_forged(self) -> NDArray[np.int64]:
        """`[N]`, 1 called forged, 0 called real, -1 neither."""
        return forged_call(self.called)

    @property
    def ranks(self) -> NDArray[np.float64]:
        """`[N]` calibrated probability of forgery, or the score that takes its place.

        The worst one where there is no answer.
        """
        if self.calibrated:
            return np.asarray(1 - self.shares[:, 0])
        worst = np.where(self.forged, 0.0, 1.0)
        scores = [case.judged.score for case in self.cases]
        given = [worst[n] if score is None else score for n, score in enumerate(scores)]
        return np.asarray(given, np.float64)

    @property
    def probability(self) -> NDArray[np.float64]:
        """`[N]` calibrated probability of forgery; NaN where only a score ranks."""
        return self.ranks if self.calibrated else np.full(len(self), np.nan)

    def of(self, kept: NDArray[np.bool_]) -> Answers:
        """The pictures where `kept` is true."""
        return Answers([case for case, keep in zip(self.cases, kept, strict=True) if keep])


def answer_of(judged: Judged) -> int:
    """Index into `ANSWERS`; a parse failure is no answer, whatever the class head said."""
    if judged.failed or judged.parse_status == "unparsed":
        return NO_ANSWER
    return ANSWERS.index(judged.verdict)


def filled(
    shares: Sequence[Sequence[float] | None], label: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Class probabilities `[N, 3]`; where there are none, all on the wrong side of real."""
    worst = np.where(label[:, None] == 0, [0.0, 0.5, 0.5], [1.0, 0.0, 0.0])
    given = [worst[n] if row is None else row for n, row in enumerate(shares)]
    return np.asarray(given, np.float64).reshape(-1, len(CLASSES))


def forged_call(called: ArrayLike) -> NDArray[np.int64]:
    """Answers as 1 called forged, 0 called real, -1 neither."""
    answers = np.asarray(called, int)
    return np.where(answers >= INCONCLUSIVE, -1, np.minimum(answers, 1))


def against_real(shares: NDArray[np.float64], label: Label | None) -> NDArray[np.float64]:
    """Scores that rank `label`, or any forgery, above real.

    Args:
        shares: one score a row, or `[N, 3]` class probabilities: then a class is ranked against
            real by its own probability, `p(class) / (p(class) + p(real))`.
        label: None for any forgery, ranked by `1 - p(real)`.
    """
    if shares.ndim == 1:
        return shares
    if label is None:
        return np.asarray(1 - shares[:, 0])
    chosen = shares[:, CLASSES.index(label)]
    return np.asarray(chosen / np.maximum(chosen + shares[:, 0], 1e-300))


def ranking(answers: Answers, shares: NDArray[np.float64], label: Label | None) -> Figure:
    """AUC of real against one label, or against all that is forged."""
    kept = np.ones(len(answers), bool)
    if label is not None:
        kept = (answers.label == CLASSES.index(label)) | ~answers.forged
    return bootstrap(auc, (answers.forged[kept], against_real(shares, label)[kept]))


def tpr_1(positive: ArrayLike, scores: ArrayLike) -> float:
    """TPR at a false positive rate of 1 %."""
    return tpr_at_fpr(positive, scores, 0.01)


def tpr_5(positive: ArrayLike, scores: ArrayLike) -> float:
    """TPR at a false positive rate of 5 %."""
    return tpr_at_fpr(positive, scores, 0.05)


RANKED: tuple[tuple[str, Statistic], ...] = (
    ("average precision", average_precision),
    ("TPR at FPR 1 %", tpr_1),
    ("TPR at FPR 5 %", tpr_5),
)
METHOD_COLUMNS = ("method", "AUC real/synthetic", "AUC real/tampered", "AUC real/forged",
                  *(name for name, _ in RANKED), "balanced accuracy")  # fmt: skip


def method_row(
    answers: Answers, shares: NDArray[np.float64], called: NDArray[np.int64]
) -> list[Figure]:
    """The figures of `METHOD_COLUMNS` after the name.

    Args:
        answers: whose truth counts.
        shares: `[N]` scores or `[N, 3]` class probabilities.
        called: `[N]`, 1 forged, 0 real, -1 neither.
    """
    scores = against_real(shares, None)
    labels = (Label.SYNTHETIC, Label.TAMPERED, None)
    return [*(ranking(answers, shares, label) for label in labels),
            *(bootstrap(statistic, (answers.forged, scores)) for _, statistic in RANKED),
            bootstrap(balanced_accuracy, (answers.forged, called))]  # fmt: skip
