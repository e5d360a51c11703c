"""Measured signals: known answers, and that they can only speak for tampering."""

from __future__ import annotations

import numpy as np
import pytest

from vlm_forensics import fusion
from vlm_forensics.calibration import (
    CLASSES,
    Calibration,
    Signal,
    fit_copy_move_odds,
    fit_signals,
)
from vlm_forensics.features.base import Measurement
from vlm_forensics.features.clues import Clue
from vlm_forensics.taxonomy import Label, Operation


def clone() -> Measurement:
    response = np.zeros((64, 64), np.float32)
    response[10:20, 10:20] = response[10:20, 40:50] = 30
    boxes = ((10, 10, 20, 20), (40, 10, 50, 20))
    boxes = tuple(tuple(4 * edge for edge in box) for box in boxes)
    return Measurement("copy_move", {"matches": 30.0}, "", response, boxes=boxes)


def test_of_two_equal_areas_the_hotter_is_marked() -> None:
    heat = np.full((256, 256), 0.05, np.float32)
    heat[40:80, 160:200] = 0.3
    marked = fusion.with_clones(heat, clone())
    assert marked[60, 180] == 1
    assert marked[60, 60] == pytest.approx(0.05)
    assert (marked >= heat).all()


def test_without_copies_the_map_stays() -> None:
    heat = np.random.default_rng(0).random((32, 48), np.float32)
    nothing = Measurement("copy_move", {"matches": 0.0}, "", np.zeros((8, 12), np.float32))
    assert np.array_equal(fusion.with_clones(heat, nothing), heat)
    assert np.array_equal(fusion.with_clones(heat, None), heat)


def test_signals_are_named_finite_and_bounded() -> None:
    found = [
        Clue("copy_move", "copy_move.matches", 30.0, "", True, False),
        Clue("ela", "ela.log2_ratio", -9.0, "", True, True),
        Clue("npr", "npr.mean", 5.0, "", True, False),
    ]
    for level in (0.0, 0.5, 1.0):
        values = fusion.signals(
            found, np.full((40, 60), level, np.float32), {Operation.SPLICE: level}
        )
        assert tuple(values) == fusion.SIGNALS
        assert np.isfinite(list(values.values())).all()
    assert values["copy_move"] == pytest.approx(np.log(31))
    assert values["ela"] == 4
    assert values["noise_level"] == 0
    hot = fusion.signals([], np.pad(np.ones((20, 20), np.float32), 40), {})
    assert hot[fusion.PEAK] > fusion.signals([], np.zeros((100, 100), np.float32), {})[fusion.PEAK]


def calibration(**signals: Signal) -> Calibration:
    return Calibration(
        id="made", temperature=1, bias=(0, 0, 0), abstain_low=0.4, abstain_high=0.6,
        mask_threshold=0.5, signals=signals, copy_move_odds=1.0,
    )  # fmt: skip


def test_a_preferred_operation_is_a_signal_and_others_are_none() -> None:
    shares = {Operation.WHOLE_SUPER_RESOLUTION: 0.8, Operation.SPLICE: 0.15}
    values = fusion.signals([], np.zeros((32, 32), np.float32), shares)
    assert values["head:whole_super_resolution"] == pytest.approx(np.log(4))
    assert values["head:whole_autoencoder"] == 0  # below even odds nothing is said
    assert fusion.toward("head:whole_super_resolution") is Label.SYNTHETIC
    assert fusion.toward("copy_move") is Label.TAMPERED


def test_a_signal_moves_its_class_alone() -> None:
    whole = calibration(x=Signal(weight=2, center=1, scale=4, toward=Label.SYNTHETIC))
    assert whole.fused([0, 1, 2], {"x": 3.0}).tolist() == [0, 2, 2]
    fused = calibration(copy_move=Signal(weight=2, center=1, scale=4)).fused(
        [0, 1, 2], {"copy_move": 3.0}
    )
    assert fused.tolist() == [0, 1, 3]
    many = calibration(copy_move=Signal(weight=2, center=1, scale=4)).fused(
        np.zeros((2, 3)), {"copy_move": np.array([1.0, 5.0])}
    )
    assert many[:, 2].tolist() == [0, 2]


def test_matches_raise_copy_move_among_operations() -> None:
    even = dict.fromkeys(Operation, 1 / len(Operation))
    raised = calibration().operations(even, {"copy_move": 3.0})
    assert sum(raised.values()) == pytest.approx(1)
    assert max(raised, key=raised.__getitem__) is Operation.COPY_MOVE
    assert calibration().operations(even, {}) == pytest.approx(even)


def test_a_telling_signal_gets_weight_and_noise_gets_little() -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(CLASSES)), 100)
    logits = draw.standard_normal((300, 3))
    columns = {
        "copy_move": np.where(labels == 2, draw.exponential(2.0, 300), 0.0),
        "ela": draw.standard_normal(300),
        "srm": -(labels == 2).astype(float),
    }
    columns["head:whole_autoencoder"] = (labels == 1) + draw.standard_normal(300)
    found = fit_signals(logits, columns, {n: fusion.toward(n) for n in columns}, labels)
    assert found["head:whole_autoencoder"].toward is Label.SYNTHETIC
    assert found["head:whole_autoencoder"].weight > 0.2
    assert found["copy_move"].weight > 5 * found["ela"].weight
    assert found["srm"].weight == pytest.approx(0, abs=1e-6)


def test_copy_move_odds_are_positive_where_matches_tell() -> None:
    draw = np.random.default_rng(0)
    copied = np.arange(200) < 60
    shares = np.full((200, 9), 1 / 9)
    matches = np.where(copied, draw.exponential(2, 200), 0.0)
    assert fit_copy_move_odds(shares, matches, copied, 1) > 1
    assert fit_copy_move_odds(shares, np.zeros(200), copied, 1) == pytest.approx(0, abs=0.05)
