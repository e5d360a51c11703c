"""After stage A: a linear probe on the frozen tower, and the weights of the three class heads."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.detection_stage import DetectionParts
from vlm_forensics.fitting.sampling import even_weights
from vlm_forensics.model.adapter import pool
from vlm_forensics.model.vocabulary import CLASSES, OPERATIONS
from vlm_forensics.taxonomy import Label, Operation

PROBE_C = 0.003
"""Inverse regularisation: strong, for few sources and many columns. Not searched."""
_BATCH = 512


def pooled(states: NDArray[np.float16]) -> NDArray[np.float32]:
    """`[N, 3D]` statistics of the last cached layer."""
    found = [pool(torch.from_numpy(np.array(states[i : i + _BATCH, -1])).float()).numpy()
             for i in range(0, len(states), _BATCH)]  # fmt: skip
    return np.concatenate(found)


def fit_probe(
    x: NDArray[np.float32], corpus: Corpus
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights `[3, 3D]` and biases `[3]` of two logistic regressions against real.

    Synthetic is fitted on natural pictures only; tampered is the row of a multinomial fit over
    everything. Classes weigh the same, and sources within a class by the root of their size.
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = usual(x)
    pair = natural(corpus)
    synthetic, offset = fit_synthetic(x[pair], corpus.classes[pair], corpus.source[pair])
    every = LogisticRegression(C=PROBE_C, max_iter=300)
    every.fit((x - mean) / deviation, corpus.classes,
              sample_weight=even_weights(corpus.classes, corpus.source))  # fmt: skip
    tampered = (every.coef_[2] - every.coef_[0]) / deviation
    intercept = every.intercept_[2] - every.intercept_[0] - tampered @ mean
    weights = np.stack([np.zeros(x.shape[1]), synthetic, tampered])
    return weights, np.array([0.0, offset, intercept])


def fit_synthetic(
    x: NDArray[np.float32], classes: NDArray[np.int64], source: NDArray[np.str_],
    strength: float = PROBE_C,
) -> tuple[NDArray[np.float64], float]:  # fmt: skip
    """Weights `[3D]` and bias of a logistic regression, synthetic against real.

    Classes weigh the same, and sources within a class by the root of their size.

    Args:
        x: `[N, 3D]` statistics of natural pictures.
        classes: `[N]`, real or synthetic.
        source: `[N]` names.
        strength: inverse regularisation.
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = usual(x)
    found = LogisticRegression(C=strength, max_iter=300)
    found.fit((x - mean) / deviation, classes == CLASSES.index(Label.SYNTHETIC),
              sample_weight=even_weights(classes, source))  # fmt: skip
    weights = found.coef_[0] / deviation
    return weights, float(found.intercept_[0] - weights @ mean)


def usual(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of every column, for standardising."""
    return x.mean(0), x.std(0) + 1e-6


def natural(corpus: Corpus) -> NDArray[np.bool_]:
    """Real pictures and what generators made, without the forge's whole-image re-synthesis."""
    generated = corpus.operations == OPERATIONS.index(Operation.FULL_GENERATION)
    return np.asarray(generated | (corpus.classes == CLASSES.index(Label.REAL)))


def fit_mix(heads: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Non-negative weights `[3 heads, 3 classes]` with the least negative log-likelihood.

    Synthetic is left to the probe alone: on validation it ranks better than any sum tried.

    Args:
        heads: `[3, N, 3]` logits of the three heads on held-out pictures.
        labels: `[N]` classes; each class weighs the same.
    """
    from scipy.optimize import minimize

    share = 1 / np.bincount(labels, minlength=len(CLASSES))[labels] / len(CLASSES)
    relative = heads - heads[..., :1]

    def weights(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        synthetic = np.array([0.0, 0.0, parameters[0]])
        return np.stack([np.zeros(3), synthetic, parameters[1:4]], axis=1)

    def objective(parameters: NDArray[np.float64]) -> float:
        logits = (weights(parameters)[:, None] * relative).sum(0) + parameters[4:]
        chosen = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
        return float(-(share * chosen).sum())

    start = np.r_[np.full(4, 0.5), np.zeros(3)]
    bounds = [(0.0, None)] * 4 + [(None, None)] * 3
    found = minimize(objective, start, method="L-BFGS-B", bounds=bounds).x
    return weights(found)


def install(
    parts: DetectionParts,
    probe: tuple[NDArray[np.float64], NDArray[np.float64]],
    mix: NDArray[np.float64],
) -> None:
    """Puts probe and weights into the adapter."""
    weights, bias = probe
    with torch.no_grad():
        parts.adapter.vision_head.weight.copy_(torch.from_numpy(weights))
        parts.adapter.vision_head.bias.copy_(torch.from_numpy(bias))
        parts.adapter.get_buffer("class_mix").copy_(torch.from_numpy(mix))
