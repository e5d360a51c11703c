"""From rows of `judging` to the figures of the detection benchmark."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from vlm_forensics.calibration import CLASSES
from vlm_forensics.evaluation import baselines
from vlm_forensics.evaluation.judging import Row, unpack_states
from vlm_forensics.evaluation.metrics import Figure, auc, balanced_accuracy, bootstrap, mean
from vlm_forensics.taxonomy import Label, Verdict

Figures = dict[str, Any]
_CALLED = {Verdict.REAL: 0, Verdict.INCONCLUSIVE: -1, Verdict.SYNTHETIC: 1, Verdict.TAMPERED: 1}


class Truth:
    """Labels and sources of rows, and scores against them.

    Args:
        rows: of `judging`, with `label` and `source`.
    """

    def __init__(self, rows: list[Row]) -> None:
        self.label = np.asarray([row["label"] for row in rows])
        self.source = np.asarray([row["source"] for row in rows])
        self.forged = self.label != Label.REAL

    def auc(self, scores: ArrayLike, label: Label | None = None, source: str = "") -> Figure:
        """Real against one label, or against all that is forged; in one source, or in all."""
        kept = np.ones(len(self.label), bool)
        if label is not None:
            kept &= (self.label == label) | ~self.forged
        if source:
            kept &= self.source == source
        return bootstrap(auc, (self.forged[kept], np.asarray(scores)[kept]))

    def columns(self, shares: NDArray[np.float64], called: ArrayLike) -> list[Figure]:
        """AUC of real against synthetic, tampered and both, and balanced accuracy.

        `shares` is one score a row, or `[N, 3]` class probabilities: then a class is ranked
        against real by its own probability, `p(class) / (p(class) + p(real))`.
        """
        labels = (Label.SYNTHETIC, Label.TAMPERED, None)
        return [*(self.auc(against_real(shares, label), label) for label in labels),
                bootstrap(balanced_accuracy, (self.forged, called))]  # fmt: skip


def against_real(shares: NDArray[np.float64], label: Label | None) -> NDArray[np.float64]:
    """Scores that rank `label`, or any forgery, above real."""
    if shares.ndim == 1:
        return shares
    if label is None:
        return np.asarray(1 - shares[:, 0])
    chosen = shares[:, CLASSES.index(label)]
    return np.asarray(chosen / (chosen + shares[:, 0]))


def image_level(rows: list[Row], work: Path | None) -> Figures:
    """The figures of equalised pictures.

    Args:
        rows: of square views.
        work: training's folder, from which the linear probe is fitted; None leaves it out.
    """
    truth = Truth(rows)
    shares = np.asarray([[row["classes"][name] for name in CLASSES] for row in rows])
    called = np.asarray([_CALLED[Verdict(row["verdict"])] for row in rows])
    sources = {f"{source}: real / {label}": truth.auc(against_real(shares, label), label, source)
               for source in sorted(set(truth.source.tolist()))
               for label in (Label.SYNTHETIC, Label.TAMPERED)}  # fmt: skip
    return {
        "n": dict(Counter(truth.label.tolist())),
        "methods": {
            "vlm_forensics": truth.columns(shares, called),
            "vlm_forensics, probability of forgery": truth.columns(1 - shares[:, 0], called),
            **_baselines(rows, truth, work),
        },
        "verdicts": _verdicts(truth.forged, called),
        "sources": {name: found for name, found in sources.items() if not np.isnan(found.value)},
        "shortcuts": _shortcuts(rows, truth),
    }


def _baselines(rows: list[Row], truth: Truth, work: Path | None) -> Figures:
    low = softmax(np.asarray([row["low_level"] for row in rows]), axis=1)
    found = {"low-level stream alone": truth.columns(low, low[:, 0] <= 0.5)}
    if work is not None:
        states = np.stack([unpack_states(row) for row in rows])
        probe = baselines.linear_probe(work).predict_proba(states)[:, 1]
        found["linear probe, real / synthetic"] = truth.columns(probe, probe >= 0.5)
    constant = np.full(len(rows), float(truth.forged.mean() > 0.5))
    return found | {"majority class": truth.columns(constant, constant)}


def _verdicts(forged: NDArray[np.bool_], called: NDArray[np.int64]) -> Figures:
    decided = called >= 0
    return {
        "share inconclusive": bootstrap(mean, (called == -1,)),
        "balanced accuracy where a verdict is given":
            bootstrap(balanced_accuracy, (forged[decided], called[decided])),
        "reals called forged": bootstrap(mean, (called[~forged] == 1,)),
        "forged called forged": bootstrap(mean, (called[forged] == 1,)),
        "forged called real": bootstrap(mean, (called[forged] == 0,)),
    }  # fmt: skip


def _shortcuts(rows: list[Row], truth: Truth) -> Figures:
    """AUC of file facts alone, real against all forged, before and after equalising."""
    found = {}
    for when in ("before", "after"):
        facts = np.asarray([row["facts"][when] for row in rows])
        without_bytes = baselines.shortcut_scores(facts[:, :-1], truth.forged)
        found[f"{when} equalising: format, size, quantiser"] = truth.auc(without_bytes)
        scores = baselines.shortcut_scores(facts, truth.forged)
        found[f"{when} equalising: these and bytes per pixel"] = truth.auc(scores)
    return found


def map_thresholds(rows: list[Row]) -> dict[str, int]:
    """Index of the threshold with the best mean F1 over these rows, for every single map."""
    local = [row["maps"] for row in rows if "maps" in row]
    if not local:
        return {}
    return {name: int(np.mean([maps[name] for maps in local], axis=0).argmax())
            for name in baselines.MAPS}  # fmt: skip


def localisation(rows: list[Row], thresholds: dict[str, int]) -> Figures:
    """Mean pixel scores on one source's tampered pictures, and the masks shown on its reals.

    Args:
        rows: of whole views.
        thresholds: of the single maps, from `map_thresholds` on other pictures.
    """
    local = [row for row in rows if "f1" in row]
    reals = [row for row in rows if row["label"] == Label.REAL]
    tampered = [row["verdict"] == Verdict.TAMPERED for row in local]
    unsure = [row["verdict"] == Verdict.INCONCLUSIVE and row["shown"] for row in local]
    forged = [_CALLED[Verdict(row["verdict"])] == 1 for row in reals]
    columns = {
        "F1, end to end": [row["f1"] for row in local],
        "F1, verdict tampered only":
            [row["f1"] if called else 0.0 for row, called in zip(local, tampered, strict=True)],
        "F1, mask regardless of verdict": [row["f1_regardless"] for row in local],
        "pixel AUC of the heat map": [row["pixel_auc"] for row in local],
        "F1, all pixels (baseline)": [row["f1_ones"] for row in local],
        **_map_columns(local, thresholds),
        "share of tampered called tampered": tampered,
        "share of tampered inconclusive with a mask": unsure,
        "share of reals shown a mask": [row["shown"] for row in reals],
        "share of reals called forged": forged,
    }  # fmt: skip
    figures = {name: bootstrap(mean, (values,)) for name, values in columns.items()}
    return {"n": {"tampered": len(local), "real": len(reals)}, "figures": figures}


def _map_columns(local: list[Row], thresholds: dict[str, int]) -> dict[str, list[float]]:
    return {
        f"F1, {name} map at {baselines.MAP_THRESHOLDS[index]:.3g} (baseline)":
            [row["maps"][name][index] for row in local]
        for name, index in thresholds.items()
    }  # fmt: skip
