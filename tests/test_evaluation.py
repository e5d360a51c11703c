"""Figures with known answers, and the cache of judged pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import doubles
import numpy as np
import pytest
from PIL import Image

from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.equalise import equalise, recompress
from vlm_forensics.evaluation import baselines, judging, metrics, summaries
from vlm_forensics.evaluation.metrics import auc, balanced_accuracy, bootstrap, wilson
from vlm_forensics.features.base import PixelArray
from vlm_forensics.image import EvidenceImage
from vlm_forensics.taxonomy import Label


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
    curves = baselines.map_f1(PixelArray(rgb), truth)
    assert set(curves) == set(baselines.MAPS)
    assert max(curves["noise_level"]) > 0.8
    assert curves["ela"][-1] == 0
    best = summaries.map_thresholds([{"maps": curves}])
    assert curves["ela"][best["ela"]] == max(curves["ela"])


def test_probe_reads_the_natural_pictures_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 1, 2], 40)
    operations = np.repeat([-100, 8, 7, 0], 40)  # full generation, whole autoencoder, splice
    states = rng.normal(size=(160, 2, 5, 4)).astype(np.float16)
    states[40:80, -1] += 2
    states[80:, -1] -= 9  # what the forge made would turn the answer round
    (tmp_path / "corpus").mkdir()
    np.savez(tmp_path / "corpus" / "labels.npz", classes=classes, operations=operations)
    np.save(tmp_path / "states.npy", states)
    probe = baselines.linear_probe(tmp_path)
    features = baselines.pooled(states, np.arange(80))
    assert features.shape == (80, 12)
    assert (probe.predict(features) == (classes[:80] == 1)).mean() > 0.95


def test_judged_bytes_are_the_equalised_picture() -> None:
    rgb = noise(300, 400)
    with Image.open(io.BytesIO(judging.equalised_jpeg(rgb))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), equalise(rgb).rgb)
    with Image.open(io.BytesIO(judging.as_jpeg(rgb))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), recompress(rgb).rgb)


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """A picture of 200 × 160 pixels, tampered where the double's heat map is high."""
    Image.fromarray(noise(160, 200)).save(tmp_path / "a.png")
    with_heat = EvidenceImage.open(tmp_path / "a.png")
    mask = doubles.heatmap_of(with_heat) >= 0.5
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    return Sample(tmp_path / "a.png", Label.TAMPERED, "val", "s", masks=(tmp_path / "mask.png",))


def test_a_square_view_is_judged_equalised(sample: Sample) -> None:
    row = judging.Judge(doubles.Detector(rationale=False)).judge(sample, "square")  # type: ignore[arg-type]
    assert row["facts"]["before"][:5] == [0, 1, 0, 200, 160]
    assert row["facts"]["after"][:5] == [1, 0, 0, 256, 256]
    assert row["verdict"] in {"tampered", "synthetic", "real", "inconclusive"}
    json.dumps(row)


def test_a_whole_view_is_scored_at_its_own_size(sample: Sample) -> None:
    row = judging.Judge(doubles.Detector(rationale=False)).judge(sample, "whole")  # type: ignore[arg-type]
    assert row["verdict"] == "tampered"
    assert row["shown"]
    assert row["f1"] == row["f1_regardless"] == row["pixel_auc"] == 1
    assert row["f1_ones"] == pytest.approx(2 * row["area"] / (1 + row["area"]))
    json.dumps(row)


def test_results_are_kept_and_keyed_by_content_and_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    digest = ["a"]

    def rows(samples: list[Sample], *_: object) -> Iterator[judging.Row]:
        for sample in samples:
            asked.append(sample.path.name)
            yield {"verdict": sample.path.name}

    monkeypatch.setattr(judging, "_rows", rows)
    monkeypatch.setattr(judging, "model_digest", lambda _: digest[0])
    samples = []
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode())
        samples.append(Sample(tmp_path / name, Label.REAL, "val", "s"))
    cache = tmp_path / "runs" / "rows.jsonl"

    def run() -> list[str]:
        return [row["verdict"] for row in judging.judge_all(samples, "square", "m", cache, 1)]

    assert run() == run() == ["one", "two"]
    assert asked == ["one", "two"]
    with cache.open("a") as file:
        file.write('{"key": "cut o')  # an interrupted run
    samples[0].path.write_bytes(b"changed")
    assert run() == ["one", "two"]
    assert asked[2:] == ["one"]
    digest[0] = "another model"
    run()
    assert asked[3:] == ["one", "two"]


def square(label: Label, verdict: str, probability: float, source: str = "s") -> judging.Row:
    facts = [1.0, 0, 0, 256, 256, 5, 0.5]
    return {"label": label, "source": source, "verdict": verdict, "probability": probability,
            "classes": {"real": 1 - probability, "synthetic": probability / 2,
                        "tampered": probability / 2},
            "low_level": [1 - probability, probability, 0],
            "facts": {"before": facts, "after": facts}}  # fmt: skip


def test_image_level_figures() -> None:
    rows = [
        square(Label.REAL, "real", 0.1), square(Label.REAL, "tampered", 0.8),
        square(Label.REAL, "real", 0.2), square(Label.REAL, "inconclusive", 0.4),
        square(Label.SYNTHETIC, "synthetic", 0.9), square(Label.SYNTHETIC, "inconclusive", 0.5),
        square(Label.TAMPERED, "synthetic", 0.7, "t"), square(Label.TAMPERED, "real", 0.15, "t"),
    ]  # fmt: skip
    found = summaries.image_level(rows, None)
    synthetic, tampered, forged, balanced = (f.value for f in found["methods"]["vlm_forensics"])
    assert (synthetic, tampered, forged) == pytest.approx((7 / 8, 4 / 8, 11 / 16))
    assert balanced == 0.5
    verdicts = {name: figure.value for name, figure in found["verdicts"].items()}
    assert verdicts["share inconclusive"] == 0.25
    assert verdicts["reals called forged"] == 0.25
    assert verdicts["forged called real"] == 0.25
    assert list(found["sources"]) == ["s: real / synthetic"]
    assert found["shortcuts"]["after equalising: format, size, quantiser"].value == 0.5
    assert found["methods"]["majority class"][0].value == 0.5
    json.dumps(found)


def test_localisation_counts_a_missing_mask_as_nothing() -> None:
    curves = {name: [0.25] * len(baselines.MAP_THRESHOLDS) for name in baselines.MAPS}
    shared = {"label": Label.TAMPERED, "f1_regardless": 0.8, "f1_ones": 0.3, "pixel_auc": 0.9,
              "maps": curves}  # fmt: skip
    rows = [
        {**shared, "verdict": "tampered", "shown": True, "f1": 0.8},
        {**shared, "verdict": "inconclusive", "shown": True, "f1": 0.4},
        {**shared, "verdict": "real", "shown": False, "f1": 0.0},
        {**shared, "verdict": "synthetic", "shown": False, "f1": 0.0},
        {"label": Label.REAL, "verdict": "real", "shown": False},
        {"label": Label.REAL, "verdict": "inconclusive", "shown": True},
    ]
    found = summaries.localisation(rows, {"ela": 0})
    values = {name: figure.value for name, figure in found["figures"].items()}
    assert found["n"] == {"tampered": 4, "real": 2}
    assert values["F1, end to end"] == pytest.approx(0.3)
    assert values["F1, verdict tampered only"] == pytest.approx(0.2)
    assert values["F1, mask regardless of verdict"] == pytest.approx(0.8)
    assert values["F1, ela map at 0.05 (baseline)"] == 0.25
    assert values["share of tampered inconclusive with a mask"] == 0.25
    assert values["share of reals shown a mask"] == 0.5
    assert values["share of reals called forged"] == 0
