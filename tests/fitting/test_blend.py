"""The linear probe: a logistic regression in which no large source drowns the small ones."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from vlm_forensics.fitting import blend
from vlm_forensics.fitting.sampling import even_weights


def pictures(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    classes = np.r_[np.zeros(400, int), np.ones(100, int), np.zeros(25, int), np.ones(25, int)]
    source = np.r_[np.full(500, "large"), np.full(50, "small")]
    return draw.normal(3, 2, (550, 4)).astype(np.float32), classes, source


def test_weights_even_out_classes_and_favour_small_sources() -> None:
    _, classes, source = pictures()
    weight = even_weights(classes, source)
    assert np.isclose(weight.mean(), 1)
    assert np.isclose(weight[classes == 0].sum(), weight[classes == 1].sum())
    large, small = (weight[(classes == 0) & (source == name)] for name in ("large", "small"))
    assert np.isclose(large.sum() / small.sum(), (400 / 25) ** 0.5)


def test_the_probe_is_the_weighted_regression_on_raw_statistics() -> None:
    x, classes, source = pictures()
    x[classes == 1, 0] += 2
    weights, bias = blend.fit_synthetic(x, classes, source)
    z = (x - x.mean(0)) / (x.std(0) + 1e-6)
    plain = LogisticRegression(C=blend.PROBE_C, max_iter=300)
    plain.fit(z, classes, sample_weight=even_weights(classes, source))
    np.testing.assert_allclose(x @ weights + bias, plain.decision_function(z), atol=1e-3)
    assert weights[0] > 0


def test_a_large_source_with_a_shortcut_of_its_own_does_not_decide() -> None:
    x, classes, source = pictures()
    x[(source == "large") & (classes == 1), 1] += 1  # only there
    x[(source == "small") & (classes == 1), 2] += 4
    weights, _ = blend.fit_synthetic(x, classes, source)
    every = LogisticRegression(C=blend.PROBE_C, max_iter=300, class_weight="balanced").fit(
        x, classes
    )
    ours, theirs = weights[2] / weights[1], every.coef_[0][2] / every.coef_[0][1]
    assert ours > theirs


def test_synthetic_is_left_to_the_probe() -> None:
    labels = np.arange(300) % 3
    heads = np.random.default_rng(2).standard_normal((3, 300, 3)).astype(np.float32)
    heads[0, labels == 1, 1] += 3  # though another head knows
    mix = blend.fit_mix(heads, labels)
    assert not mix[:2, 1].any()
    assert not mix[:, 0].any()
    assert (mix >= 0).all()
