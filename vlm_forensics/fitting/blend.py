"""After stage A: a linear probe on the frozen tower, and the weights of the three class heads."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.detection_stage import DetectionParts
from vlm_forensics.model.adapter import pool
from vlm_forensics.model.config import CLASSES

PROBE_C = 0.003
"""Inverse regularisation; of the values tried the best with whole sources held out."""
_BATCH = 512


def pooled(states: NDArray[np.float16]) -> NDArray[np.float32]:
    """`[N, 3D]` statistics of the last cached layer."""
    found = [pool(torch.from_numpy(np.array(states[i : i + _BATCH, -1])).float()).numpy()
             for i in range(0, len(states), _BATCH)]  # fmt: skip
    return np.concatenate(found)


def fit_probe(
    x: NDArray[np.float32], corpus: Corpus
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights `[3, 3D]` and biases `[3]` of a multinomial logistic regression.

    Classes weigh the same, and sources within a class by the square root of their size.
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = x.mean(0), x.std(0) + 1e-6
    model = LogisticRegression(C=PROBE_C, max_iter=300)
    model.fit((x - mean) / deviation, corpus.classes, sample_weight=sample_weights(corpus))
    weights = model.coef_ / deviation
    return weights, model.intercept_ - weights @ mean


def sample_weights(corpus: Corpus) -> NDArray[np.float64]:
    """One per sample, averaging 1."""
    weight = np.zeros(len(corpus))
    for c in range(len(CLASSES)):
        members = corpus.classes == c
        names, counts = np.unique(corpus.source[members], return_counts=True)
        for name, count in zip(names, counts, strict=True):
            weight[members & (corpus.source == name)] = count**-0.5
        weight[members] /= weight[members].sum()
    return np.asarray(weight * len(corpus) / weight.sum())


def fit_mix(heads: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Non-negative weights of the heads with the least negative log-likelihood.

    Args:
        heads: `[3, N, 3]` logits of the three heads on held-out pictures.
        labels: `[N]` classes; each class weighs the same.
    """
    from scipy.optimize import minimize

    share = 1 / np.bincount(labels, minlength=len(CLASSES))[labels] / len(CLASSES)

    def objective(parameters: NDArray[np.float64]) -> float:
        logits = np.tensordot(parameters[:3], heads, 1) + parameters[3:]
        chosen = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
        return float(-(share * chosen).sum())

    start = np.r_[np.full(3, 0.5), np.zeros(3)]
    bounds = [(0.0, None)] * 3 + [(None, None)] * 3
    found: NDArray[np.float64] = minimize(objective, start, method="L-BFGS-B", bounds=bounds).x
    return found[:3]


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
