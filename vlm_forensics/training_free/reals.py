"""What the scores are on real photographs of the user's own: the file that `vlmf calibrate` writes.

Ranks among these photographs are all that a score is ever compared with. For a picture drawn like
them, a rank p-value is at most `a` in at most a share `a` of cases, whatever the score is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from vlm_forensics.calibration import reached_by
from vlm_forensics.errors import InputError
from vlm_forensics.kept import Kept, KeptPart
from vlm_forensics.training_free.scores import SCORES, Score

ALLOWED = 0.05
"""Share of real photographs that may be called unusual."""
LEAST = 20
"""Photographs; with fewer than 19 no rank is rarer than `ALLOWED`."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
BY_NAME: Final[Mapping[str, Score]] = {score.name: score for score in SCORES}


class ScoreOnReals(KeptPart):
    """One score on every photograph."""

    values: tuple[float, ...]
    """In the order of `Reals.sha256`."""
    quantiles: tuple[float, ...]
    """At `QUANTILES`."""
    threshold: float
    """Values beyond it, on the side where forgeries are expected, are flagged; it itself is not."""
    flagged: int
    """Of these photographs; at most a share `ALLOWED`."""
    interval: tuple[float, float]
    """95 % Clopper–Pearson interval of the flagged share."""

    @classmethod
    def of(cls, score: Score, values: Sequence[float]) -> Self:
        """The threshold is the split-conformal quantile, as for the abstain band."""
        found = np.asarray(values, np.float64)
        turned = score.oriented(found)
        # `reached_by` gives the next number above the one photograph that sets the threshold.
        cut = np.nextafter(reached_by(turned, ALLOWED), -np.inf)
        flagged = int((turned > cut).sum())
        return cls(
            values=tuple(values),
            quantiles=tuple(float(value) for value in np.quantile(found, QUANTILES)),
            threshold=float(score.oriented(np.asarray(cut))) + 0.0,
            flagged=flagged,
            interval=clopper_pearson(flagged, len(found)),
        )


class Reals(Kept):
    """The scores of the user's real photographs, and how they were measured."""

    what: ClassVar[str] = "calibration"
    make: ClassVar[str] = "make it: vlmf calibrate --reals DIR"

    schema_version: Literal["1.0"] = "1.0"
    kind: Literal["training_free_reals"] = "training_free_reals"
    package: str
    """Version of vlm_forensics that measured."""
    created: str
    """UTC time, ISO 8601."""
    settings: dict[str, str]
    """Of `Meter.settings`."""
    versions: dict[str, str]
    """Of the libraries that decode and measure."""
    allowed: float = Field(default=ALLOWED, ge=ALLOWED, le=ALLOWED)
    """Share of real photographs that may be called unusual."""
    sha256: tuple[str, ...] = Field(min_length=LEAST)
    """Of the photographs' files."""
    skipped: dict[str, int]
    """Files that were left out, by reason."""
    scores: dict[str, ScoreOnReals] = Field(min_length=1)
    """By name of the score."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if unknown := self.scores.keys() - BY_NAME.keys():
            raise ValueError(f"unknown scores: {', '.join(sorted(unknown))}")
        if any(len(one.values) != len(self.sha256) for one in self.scores.values()):
            raise ValueError("a score has another number of values than there are photographs")
        return self

    def check(self, settings: Mapping[str, str]) -> None:
        """Whether numbers measured with these settings can be compared with the file's.

        What is not at hand on one side leaves its scores out and is no conflict.

        Raises:
            InputError: calibration_mismatch.
        """
        for name, value in settings.items():
            known = self.settings.get(name, "")
            if known and value and known != value:
                why = f"the calibration was made with another {name}: {known}"
                raise InputError("calibration_mismatch", why, hint=self.make)


def clopper_pearson(hits: int, count: int) -> tuple[float, float]:
    """Exact 95 % interval of a share (Clopper & Pearson 1934)."""
    from scipy.stats import binomtest

    low, high = binomtest(hits, count).proportion_ci(0.95, "exact")
    return float(low), float(high)


def p_value(turned: NDArray[np.float64], value: float) -> float:
    """Rank of the value among the reals and itself, from the forged side, in (0, 1].

    Args:
        turned: `[n]` oriented values of the reals.
        value: of the picture, oriented.
    """
    return float((1 + (turned >= value).sum()) / (1 + len(turned)))


def combined(turned: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """One p-value of all scores: the rank of the picture's Fisher statistic among the reals' own.

    The statistic is the mean of `-log p` over the scores, each p being the rank in the reals and
    the picture together. As it treats the n + 1 pictures alike, the rank of the picture's is a
    valid p-value however much the scores depend on each other, where Fisher's own table would
    call five measures of the same softness five findings.

    Args:
        turned: `[n, k]` oriented values of the reals.
        values: `[k]` of the picture, oriented.

    Returns:
        In (0, 1], never below 1 / (n + 1).
    """
    every = np.concatenate([turned, values[None]])
    # The share of all pictures that lie at least as far on the forged side, ties included.
    ordered = np.sort(every, axis=0)
    below = np.stack(
        [np.searchsorted(ordered[:, j], every[:, j]) for j in range(every.shape[1])], 1
    )
    statistic = -np.log(1 - below / len(every)).mean(1)
    return float((statistic >= statistic[-1] - 1e-12).mean())
