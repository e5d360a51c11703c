"""Scores with known answers, baselines, and the forms in which pictures are shown."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from vlm_forensics.datasets.equalise import equalise, recompress
from vlm_forensics.evaluation import baselines, conditions, metrics, text
from vlm_forensics.evaluation.masks import Overlap, cumulative_iou
from vlm_forensics.evaluation.metrics import auc, balanced_accuracy, bootstrap, wilson
from vlm_forensics.features.base import PixelArray


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("positive", "scores", "expected"),
    [
        ([0, 0, 1, 1], [1, 2, 3, 4], 1.0),
        ([0, 0, 1, 1], [4, 3, 2, 1], 0.0),
        ([0, 1, 0, 1], [1, 1, 1, 1], 0.5),
        ([0, 0, 1, 1], [1, 3, 2, 4], 0.75),
        ([0, 1, 1], [2, 2, 3], 0.75),  # one tie of two pairs counts half
    ],
)
def test_auc(positive: list[int], scores: list[float], expected: float) -> None:
    assert auc(positive, scores) == pytest.approx(expected)


def test_auc_equals_scikit_learn_with_ties() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    truth, scores = rng.random(200) < 0.3, rng.integers(0, 20, 200)
    assert auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


def test_auc_of_one_class_is_undefined() -> None:
    assert np.isnan(auc([1, 1], [0.1, 0.9]))
    assert str(bootstrap(auc, ([1, 1], [0.1, 0.9]))) == "–"


def test_an_abstention_is_right_for_neither_class() -> None:
    assert balanced_accuracy([0, 0, 1, 1], [0, 0, 1, 1]) == 1
    assert balanced_accuracy([0, 0, 1, 1], [0, -1, 1, -1]) == 0.5
    assert balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0]) == 0.5
    assert np.isnan(balanced_accuracy([1, 1], [1, 1]))


def test_bootstrap_interval_is_that_of_a_mean() -> None:
    values = np.random.default_rng(2).normal(5, 2, 400)
    found = bootstrap(metrics.mean, (values,))
    half = 1.96 * values.std() / 20
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - half, abs=0.04)
    assert found.high == pytest.approx(values.mean() + half, abs=0.04)
    assert found == bootstrap(metrics.mean, (values,))
    assert found != bootstrap(metrics.mean, (values,), seed=1)


def test_bootstrap_keeps_rows_together() -> None:
    truth, scores = np.arange(60) % 2 == 1, np.arange(60) % 2 * 1.0
    assert bootstrap(auc, (truth, scores)) == (1, 1, 1)
    with pytest.raises(ValueError, match="lengths"):
        bootstrap(auc, (truth, scores[:-1]))


def test_bootstrap_of_nothing_is_undefined() -> None:
    assert np.isnan(bootstrap(metrics.mean, ([],)).value)


def test_wilson_of_textbook_counts() -> None:
    none, some = wilson(0, 10), wilson(81, 263)
    assert (none.value, none.low) == pytest.approx((0, 0))
    assert none.high == pytest.approx(0.2775, abs=1e-4)
    # Newcombe 1998, table I: 81 of 263.
    assert (some.low, some.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert np.isnan(wilson(0, 0).value)


def test_folds_are_ranked_apart() -> None:
    constant_per_fold = metrics.within_folds([0.2, 0.2, 0.9, 0.9], [0, 0, 1, 1])
    assert constant_per_fold.tolist() == [0.5] * 4


def test_markdown_table() -> None:
    assert metrics.markdown(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"


def test_json_has_no_nan() -> None:
    figures = {"a": wilson(0, 0), "b": [metrics.Figure(1.0, 0.5, 1.0)], "n": 3}
    assert json.loads(metrics.as_json(figures)) == {"a": [None] * 3, "b": [[1, 0.5, 1]], "n": 3}


def saved(rgb: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, kind, **options)
    return buffer.getvalue()


def test_file_facts() -> None:
    data = saved(noise(40, 60), "JPEG", quality=100)
    assert baselines.file_facts(data) == [1, 0, 0, 60, 40, 1.0, len(data) / 2400]
    assert baselines.file_facts(saved(noise(40, 60), "PNG"))[:6] == [0, 1, 0, 60, 40, 0]


def test_shortcut_probe_finds_a_quantiser_and_nothing_in_equal_files() -> None:
    positive = np.arange(80) % 3 == 0
    given = [
        saved(noise(40, 40, n), "JPEG", quality=70 if p else 90) for n, p in enumerate(positive)
    ]
    facts = np.asarray([baselines.file_facts(data) for data in given])
    assert auc(positive, baselines.shortcut_scores(facts, positive)) == 1
    same = np.repeat(facts[:1], 80, axis=0)
    assert auc(positive, baselines.shortcut_scores(same, positive)) == 0.5


def test_a_single_map_finds_a_noisy_patch() -> None:
    rgb = np.full((128, 128, 3), 128, np.uint8)
    rgb[32:96, 32:96] = np.clip(noise(64, 64).astype(int) // 4 + 96, 0, 255)
    truth = np.zeros((128, 128), bool)
    truth[32:96, 32:96] = True
    found = baselines.map_scores(PixelArray(rgb), truth)
    assert set(found) == set(baselines.MAPS)
    level = found["noise_level"]
    assert max(level.cuts) > 0.8
    assert level.otsu > 0.8
    assert level.auc is not None
    assert level.auc > 0.9
    assert found["ela"].cuts[-1] == 0
    best = baselines.best_cuts([found])
    assert found["ela"].cuts[best["ela"]] == max(found["ela"].cuts)
    assert baselines.best_cuts([]) == {}


def test_ranking_scores_equal_scikit_learn_with_ties() -> None:
    from sklearn.metrics import average_precision_score, roc_curve

    rng = np.random.default_rng(3)
    truth, scores = rng.random(300) < 0.4, rng.integers(0, 25, 300) / 25
    assert metrics.average_precision(truth, scores) == pytest.approx(
        average_precision_score(truth, scores)
    )
    fpr, tpr, _ = roc_curve(truth, scores)
    for limit in (0.01, 0.05, 0.5):
        assert metrics.tpr_at_fpr(truth, scores, limit) == tpr[fpr <= limit].max()
    x, y = metrics.roc(truth, scores)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(auc(truth, scores))


@pytest.mark.parametrize("truth", [[], [1, 1]])
def test_ranking_scores_of_one_class_are_undefined(truth: list[int]) -> None:
    assert np.isnan(metrics.average_precision(truth, [0.5] * len(truth)))
    assert np.isnan(metrics.tpr_at_fpr(truth, [0.5] * len(truth), 0.05))
    assert metrics.roc(truth, [0.5] * len(truth))[0].size == 0


def test_tpr_at_fpr_by_hand() -> None:
    truth, scores = [0] * 20 + [1] * 4, [*range(20), 30, 30, 18.5, 2]
    assert metrics.tpr_at_fpr(truth, scores, 0) == 0.5
    assert metrics.tpr_at_fpr(truth, scores, 0.05) == 0.75


def test_macro_f1_and_confusion_equal_scikit_learn() -> None:
    from sklearn.metrics import confusion_matrix, f1_score

    rng = np.random.default_rng(4)
    truth, called = rng.integers(0, 3, 200), rng.integers(0, 5, 200)
    assert metrics.macro_f1(truth, called) == pytest.approx(
        f1_score(truth, called, labels=[0, 1, 2], average="macro")
    )
    expected = confusion_matrix(truth, called, labels=range(5))[:3]
    assert np.array_equal(metrics.confusion(truth, called, 3, 5), expected)
    assert metrics.macro_f1([0, 0, 1, 1], [3, 4, 3, 4]) == 0


def test_calibration_by_hand() -> None:
    assert metrics.calibration_error([0, 1, 0, 1], [0.5] * 4) == 0
    assert metrics.calibration_error([0, 0, 1, 1], [0.9, 0.9, 0.1, 0.1]) == pytest.approx(0.9)
    assert metrics.calibration_error([1, 1, 0, 0], [1, 1, 0, 0]) == 0
    assert metrics.brier([1, 0], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)
    assert metrics.reliability([1, 0], [1.0, 0.0]).sizes.sum() == 2


def test_overlap_by_hand() -> None:
    truth, predicted = np.zeros((2, 4, 4), bool)
    truth[:2], predicted[1:3] = True, True
    found = Overlap.of(truth, predicted)
    assert (found.f1, found.iou) == (0.5, pytest.approx(1 / 3))
    empty = np.zeros_like(truth)
    assert Overlap.of(empty, empty).iou == 1
    assert Overlap.of(truth, empty).iou == Overlap.of(empty, predicted).iou == 0
    assert cumulative_iou([found, Overlap.of(empty, predicted)]) == 4 / 20
    assert np.isnan(cumulative_iou([Overlap.of(empty, empty)]))


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="masks"):
        Overlap.of(np.zeros((4, 6), bool), np.zeros((6, 4), bool))


@pytest.mark.parametrize(
    ("reference", "candidate", "expected"),
    [
        ("police killed the gunman", "police kill the gunman", 0.75),  # Lin 2004
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("The sky, blue!", "the SKY blue", 1),
        ("the sky", "", 0),
        ("", "", 0),
    ],
)
def test_rouge_l(reference: str, candidate: str, expected: float) -> None:
    assert text.rouge_l(reference, candidate) == pytest.approx(expected)


def test_judged_bytes_are_the_equalised_picture() -> None:
    rgb = noise(300, 400)
    with Image.open(io.BytesIO(conditions.render(rgb, conditions.SQUARE))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), equalise(rgb).rgb)
    with Image.open(io.BytesIO(conditions.render(rgb, conditions.WHOLE))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), recompress(rgb).rgb)


SIZES = {"resize_0.5": 128, "resize_0.25": 64, "crop_0.8": 206, "screenshot": 320,
         "social_chain": 192}  # fmt: skip


@pytest.mark.parametrize("condition", conditions.CONDITIONS, ids=lambda one: one.name)
def test_a_condition_degrades_repeatably(condition: conditions.Condition) -> None:
    rgb = noise(260, 300)
    data = conditions.render(rgb, condition.name)
    assert data == conditions.render(rgb, condition.name)
    assert data != conditions.render(rgb, conditions.SQUARE)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (SIZES.get(condition.name, 256),) * 2
        kinds = {"screenshot": "PNG", "webp_80": "WEBP"}
        assert image.format == kinds.get(condition.name, "JPEG")
