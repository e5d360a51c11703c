"""From the class head's logits to calibrated probabilities, a verdict and a strength word.

Vector scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2) with one
shared temperature: `p = softmax(z / T + b)`. Above `abstain_high` the verdict is a forgery, below
`abstain_low` it is real, and between the two it is inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vlm_forensics.report import Notice
from vlm_forensics.taxonomy import STRENGTH_CUTS, Forged, Label, Operation, Strength, Verdict

CLASSES: tuple[Label, ...] = (Label.REAL, Label.SYNTHETIC, Label.TAMPERED)
"""Order of the class axis of every logit and probability array."""

_RIDGE = 1e-3
"""Weight of the penalty that keeps temperature and biases finite on separable data."""


_SIGNAL_RIDGE = 3e-3
"""Penalty on the weights of measured signals, in units of a picture's mean loss."""


class Scaling(NamedTuple):
    """The fitted part of a calibration."""

    temperature: float
    bias: tuple[float, float, float]
    """One per class of `CLASSES`, summing to 0."""


class AbstainBand(NamedTuple):
    """Thresholds on the probability of forgery; between them nothing is said."""

    low: float
    high: float


class Signal(BaseModel):
    """What a signal adds to the logit of one class: `weight * (x - center) / scale`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(allow_inf_nan=False)
    center: float = Field(allow_inf_nan=False)
    scale: float = Field(gt=0, allow_inf_nan=False)
    toward: Forged = Label.TAMPERED
    """The class for which it speaks."""


class Calibration(BaseModel):
    """How one model's logits become a verdict; stored as JSON beside its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Names method and data; the report quotes it."""
    temperature: float = Field(gt=0, allow_inf_nan=False)
    bias: tuple[float, float, float]
    """Added to the scaled logits, in the order of `CLASSES`."""
    abstain_low: float = Field(ge=0)
    """Probabilities of forgery below this give `real`."""
    abstain_high: float = Field(ge=0)
    """Probabilities of forgery at or above this give `synthetic` or `tampered`."""
    claims_from: float = Field(default=1.0, ge=0)
    """Probability of forgery from which an inconclusive report may make claims."""
    mask_threshold: float = Field(gt=0, lt=1)
    """Mask values at or above this are in."""
    mask_min_area: float = Field(default=0.001, ge=0, lt=1)
    """Share of the image below which a mask counts as empty."""
    signals: dict[str, Signal] = Field(default_factory=dict)
    """By the names of `fusion.SIGNALS`; none for a model that is judged by its logits alone."""
    copy_move_odds: float = Field(default=0.0, allow_inf_nan=False)
    """What the copy-move signal adds to the log-odds of that operation."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.abstain_low > self.abstain_high:
            raise ValueError("abstain_low must not exceed abstain_high")
        return self

    def fused(self, logits: ArrayLike, signals: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """The logits with what the signals add.

        Args:
            logits: `[..., 3]`, class axis in the order of `CLASSES`.
            signals: numbers or arrays `[...]` by name.
        """
        found = np.array(logits, dtype=np.float64)
        for name, signal in self.signals.items():
            value = np.asarray(signals[name], np.float64)
            added = signal.weight * (value - signal.center) / signal.scale
            found[..., CLASSES.index(signal.toward)] += added
        return found

    def operations(
        self, shares: Mapping[Operation, float], signals: Mapping[str, float]
    ) -> dict[Operation, float]:
        """Shares of the operations, summing to 1, after the copy-move signal."""
        odds = math.exp(self.copy_move_odds * signals.get("copy_move", 0.0))
        raised = {op: p * (odds if op is Operation.COPY_MOVE else 1) for op, p in shares.items()}
        total = sum(raised.values()) or 1.0
        return {op: value / total for op, value in raised.items()}

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated class probabilities.

        Args:
            logits: `[..., 3]`, fused, class axis in the order of `CLASSES`.

        Returns:
            `[..., 3]` in [0, 1], each row summing to 1.
        """
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature + np.asarray(self.bias)
        return np.asarray(np.exp(_log_softmax(scaled)), dtype=np.float64)

    def thresholds(self) -> dict[str, float]:
        """The named cut points that a report records."""
        return {
            "abstain_low": self.abstain_low,
            "abstain_high": self.abstain_high,
            "claims_from": self.claims_from,
            "mask": self.mask_threshold,
            "mask_min_area": self.mask_min_area,
        }

    def save(self, path: Path) -> None:
        """Write the calibration as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """The calibration stored in a JSON file.

        Raises:
            OSError: the file cannot be read.
            pydantic.ValidationError: it is not a calibration.
        """
        return cls.model_validate_json(path.read_bytes())


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not SciPy's: importing it takes longer than measuring most features of a photograph.
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))


def fit_temperature(logits: ArrayLike, labels: Sequence[int] | NDArray[np.integer]) -> Scaling:
    """The temperature and class biases with the least negative log-likelihood.

    Args:
        logits: `[N, 3]` of held-out images, class axis in the order of `CLASSES`.
        labels: `[N]` indices into `CLASSES`.

    Returns:
        The scaling; a small ridge penalty keeps it finite when the classes separate perfectly.

    Raises:
        ValueError: the shapes do not fit, or a logit is not finite.
    """
    z = np.asarray(logits, dtype=np.float64)
    y = np.asarray(labels, dtype=np.int64)
    if z.ndim != 2 or z.shape[1] != len(CLASSES) or y.shape != z.shape[:1] or not len(z):
        raise ValueError(f"expected logits [N, {len(CLASSES)}] and labels [N], N > 0")
    if not np.isfinite(z).all():
        raise ValueError("logits must be finite")
    onehot = np.eye(len(CLASSES))[y]

    def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        inverse, bias = math.exp(-parameters[0]), parameters[1:]
        log_p = _log_softmax(z * inverse + bias)
        residual = (np.exp(log_p) - onehot) / len(z)
        loss = -float((log_p * onehot).sum()) / len(z) + _RIDGE * float(parameters @ parameters)
        slope = np.concatenate([[-(residual * z).sum() * inverse], residual.sum(axis=0)])
        return loss, slope + 2 * _RIDGE * parameters

    from scipy.optimize import minimize  # a third of a second that judging an image never needs

    found = minimize(objective, np.zeros(1 + len(CLASSES)), jac=True, method="L-BFGS-B").x
    bias = found[1:] - found[1:].mean()
    return Scaling(math.exp(found[0]), (float(bias[0]), float(bias[1]), float(bias[2])))


def fit_abstain_band(
    p_forged: ArrayLike,
    is_real: ArrayLike,
    max_false_accusation: float = 0.05,
    max_missed: float = 0.2,
) -> AbstainBand:
    """The band of probabilities in which nothing is said.

    `high` is the smallest threshold above the `ceil((1 - a)(n + 1))`-th smallest of the n real
    probabilities (a = `max_false_accusation`). This is the split-conformal quantile: at most a
    share `a` of these reals reaches it, and so does a new real image drawn like them. `low` is the
    largest threshold, at most `high`, below which at most `max_missed` of the forged images fall.

    Args:
        p_forged: `[N]` calibrated probabilities of forgery in [0, 1], held-out images.
        is_real: `[N]` booleans.
        max_false_accusation: Share of real images that may be called forged.
        max_missed: Share of forged images that may be called real.

    Raises:
        ValueError: too few real images for the promise (19 at 5 %), or no forged one.
    """
    p, real = np.asarray(p_forged, dtype=np.float64), np.asarray(is_real, dtype=bool)
    forged = np.sort(p[~real])
    if not len(forged):
        raise ValueError("there is no forged image")
    high = reached_by(p[real], max_false_accusation)
    allowed = min(math.floor(max_missed * len(forged) + 1e-9), len(forged) - 1)
    return AbstainBand(low=min(float(forged[allowed]), high), high=high)


def reached_by(p_real: ArrayLike, share: float) -> float:
    """The smallest threshold that at most this share of real images like these reaches.

    Args:
        p_real: `[n]` probabilities of forgery of held-out real images.
        share: in (0, 1).

    Raises:
        ValueError: too few images for the promise (19 at 5 %).
    """
    reals = np.sort(np.asarray(p_real, dtype=np.float64))
    rank = math.ceil((1 - share) * (len(reals) + 1) - 1e-9)
    if rank > len(reals):
        raise ValueError(f"{len(reals)} real images are too few for a share of {share:.0%}")
    return float(np.nextafter(reals[rank - 1], np.inf))


def decide(
    probabilities: Sequence[float] | NDArray[np.float64], calibration: Calibration
) -> tuple[Verdict, tuple[Notice, ...]]:
    """The verdict on one image, and why if it is inconclusive.

    Args:
        probabilities: `[3]` calibrated, in the order of `CLASSES`.
        calibration: Holds the abstain band.
    """
    real, synthetic, tampered = (float(p) for p in probabilities)
    forged = synthetic + tampered
    if not math.isfinite(forged + real):
        message = "The model gave no usable probability."
        return Verdict.INCONCLUSIVE, (Notice(code="no_probability", message=message),)
    if forged >= calibration.abstain_high:
        return (Verdict.SYNTHETIC if synthetic >= tampered else Verdict.TAMPERED), ()
    if forged < calibration.abstain_low:
        return Verdict.REAL, ()
    message = (
        f"The probability of forgery, {forged:.0%}, lies between {calibration.abstain_low:.0%} "
        f"(below: real) and {calibration.abstain_high:.0%} (from there: forged)."
    )
    return Verdict.INCONCLUSIVE, (Notice(code="abstain_band", message=message),)


def strength(probability: float) -> Strength:
    """The published word for the calibrated probability of the verdict given, in [0, 1]."""
    return max(
        (word for word, cut in STRENGTH_CUTS.items() if probability >= cut),
        key=lambda word: STRENGTH_CUTS[word],
        default=Strength.WEAK,
    )


def fit_signals(
    logits: ArrayLike, signals: Mapping[str, ArrayLike], toward: Mapping[str, Forged],
    labels: Sequence[int] | NDArray[np.integer],
) -> dict[str, Signal]:  # fmt: skip
    """Weights with which the signals, on top of the logits, best tell the classes apart.

    Non-negative logistic regression with a ridge penalty: a signal can only speak for its class.

    Args:
        logits: `[N, 3]` of held-out images, class axis in the order of `CLASSES`.
        signals: `[N]` each.
        toward: the class for which each of them speaks.
        labels: `[N]` indices into `CLASSES`; each class weighs the same.
    """
    from scipy.optimize import minimize

    y = np.asarray(labels, np.int64)
    z = np.asarray(logits, np.float64) - np.asarray(logits, np.float64)[:, :1]
    columns = {name: np.asarray(values, np.float64) for name, values in signals.items()}
    centers = {name: float(x[y == 0].mean()) for name, x in columns.items()}
    scales = {name: float(x.std()) or 1.0 for name, x in columns.items()}
    x = np.stack([(v - centers[n]) / scales[n] for n, v in columns.items()], 1)
    speaks = np.asarray([[toward[n] is label for label in CLASSES[1:]] for n in columns])
    share = 1 / np.bincount(y, minlength=len(CLASSES))[y] / len(CLASSES)

    def objective(parameters: NDArray[np.float64]) -> float:
        scale, bias, weights = parameters[:2], parameters[2:4], parameters[4:]
        added = x @ (weights[:, None] * speaks)
        shifted = np.concatenate([np.zeros((len(y), 1)), scale * (z[:, 1:] + added) + bias], 1)
        chosen = _log_softmax(shifted)[np.arange(len(y)), y]
        return float(-(share * chosen).sum() + _SIGNAL_RIDGE * weights @ weights)

    start = np.r_[1.0, 1.0, np.zeros(2 + x.shape[1])]
    bounds = [(1e-3, None)] * 2 + [(None, None)] * 2 + [(0.0, None)] * x.shape[1]
    weights = minimize(objective, start, method="L-BFGS-B", bounds=bounds).x[4:]
    return {name: Signal(weight=float(w), center=centers[name], scale=scales[name],
                         toward=toward[name])
            for name, w in zip(columns, weights, strict=True)}  # fmt: skip


def fit_copy_move_odds(
    shares: ArrayLike, matches: ArrayLike, is_copy_move: ArrayLike, place: int
) -> float:
    """What a unit of the copy-move signal adds to the log-odds of that operation, at least 0.

    Args:
        shares: `[N, 9]` of the operation head, on forged pictures.
        matches: `[N]` the signal.
        is_copy_move: `[N]` booleans.
        place: column of copy_move.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import expit, logit

    p = np.clip(np.asarray(shares, np.float64)[:, place], 1e-4, 1 - 1e-4)
    x, y = np.asarray(matches, np.float64), np.asarray(is_copy_move, bool)

    def objective(odds: float) -> float:
        q = np.clip(expit(logit(p) + odds * x), 1e-9, 1 - 1e-9)
        return -float(np.log(np.where(y, q, 1 - q)).mean()) + _RIDGE * odds * odds

    return float(minimize_scalar(objective, bounds=(0.0, 10.0), method="bounded").x)
