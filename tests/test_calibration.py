import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from vlm_forensics.calibration import (
    Calibration,
    decide,
    fit_abstain_band,
    fit_temperature,
    strength,
)
from vlm_forensics.taxonomy import STRENGTH_CUTS, Strength, Verdict

FINITE = st.floats(-60, 60)


def calibration(**changes):
    values = {
        "id": "test",
        "temperature": 1.0,
        "bias": (0.0, 0.0, 0.0),
        "abstain_low": 0.3,
        "abstain_high": 0.7,
        "mask_threshold": 0.5,
    }
    return Calibration(**(values | changes))


def nll(cal, logits, labels):
    p = cal.probabilities(logits)
    return -np.log(p[np.arange(len(labels)), labels]).mean()


@given(arrays(np.float64, (7, 3), elements=FINITE), st.floats(0.1, 10))
def test_probabilities_sum_to_one_and_keep_the_order_of_logits(logits, temperature):
    p = calibration(temperature=temperature).probabilities(logits)
    assert np.allclose(p.sum(axis=1), 1)
    assert ((p >= 0) & (p <= 1)).all()
    assert (np.diff(np.take_along_axis(p, logits.argsort(axis=1), axis=1)) >= -1e-12).all()


@given(FINITE, st.floats(0.01, 5))
def test_raising_a_forged_logit_never_lowers_the_probability_of_forgery(z, step):
    cal = calibration(bias=(0.2, -0.1, -0.1))
    before, after = (cal.probabilities([1.0, z + d, 0.0])[1:].sum() for d in (0.0, step))
    assert after >= before - 1e-12


def test_fit_recovers_a_known_temperature_and_bias():
    rng = np.random.default_rng(7)
    truth = calibration(temperature=2.5, bias=(0.6, -0.4, -0.2))
    logits = rng.normal(0, 4, (6000, 3))
    labels = np.array([rng.choice(3, p=p) for p in truth.probabilities(logits)])
    fitted = fit_temperature(logits, labels)
    assert fitted.temperature == pytest.approx(2.5, rel=0.08)
    assert np.allclose(fitted.bias, truth.bias, atol=0.12)
    after = calibration(temperature=fitted.temperature, bias=fitted.bias)
    assert nll(after, logits, labels) < nll(calibration(), logits, labels)


def test_fit_stays_finite_when_the_classes_separate_perfectly():
    labels = np.arange(30) % 3
    fitted = fit_temperature(np.eye(3)[labels] * 50, labels)
    assert fitted.temperature > 1e-3
    assert np.isfinite(fitted.bias).all()


@pytest.mark.parametrize("logits", [np.zeros((0, 3)), np.zeros((4, 2)), np.full((4, 3), np.nan)])
def test_fit_refuses_logits_it_cannot_use(logits):
    with pytest.raises(ValueError, match="logits"):
        fit_temperature(logits, np.zeros(len(logits), dtype=int))


@settings(max_examples=200)
@given(
    arrays(np.float64, st.integers(19, 120), elements=st.floats(0, 1)),
    arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1)),
)
def test_band_keeps_both_promises_on_the_data_it_was_fitted_on(reals, forged):
    p = np.concatenate([reals, forged])
    is_real = np.arange(len(p)) < len(reals)
    band = fit_abstain_band(p, is_real)
    assert (reals >= band.high).mean() <= 0.05
    assert (forged < band.low).mean() <= 0.2
    assert band.low <= band.high


def test_band_high_is_the_smallest_conservative_threshold():
    reals = np.arange(100) / 100
    band = fit_abstain_band(np.append(reals, 0.9), np.arange(101) < 100)
    assert band.high == pytest.approx(0.95)
    assert (reals >= band.high).sum() == 4
    assert band.low == pytest.approx(0.9)


def test_band_holds_for_new_reals_of_the_same_kind():
    rng = np.random.default_rng(3)
    rates = []
    for _ in range(300):
        reals = rng.beta(2, 5, 60)
        band = fit_abstain_band(np.append(reals, 0.5), np.arange(61) < 60)
        rates.append((rng.beta(2, 5, 200) >= band.high).mean())
    assert np.mean(rates) <= 0.05 + 0.005


def test_band_refuses_too_few_reals():
    with pytest.raises(ValueError, match="too few"):
        fit_abstain_band(np.linspace(0, 1, 28), np.arange(28) < 18)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ((0.8, 0.1, 0.1), Verdict.REAL),
        ((0.1, 0.6, 0.3), Verdict.SYNTHETIC),
        ((0.1, 0.3, 0.6), Verdict.TAMPERED),
        ((0.5, 0.4, 0.1), Verdict.INCONCLUSIVE),
        ((float("nan"),) * 3, Verdict.INCONCLUSIVE),
    ],
)
def test_decide(probabilities, expected):
    verdict, reasons = decide(probabilities, calibration())
    assert verdict is expected
    assert bool(reasons) == (expected is Verdict.INCONCLUSIVE)


def test_decide_includes_the_upper_edge_and_excludes_the_lower():
    assert decide((0.25, 0.25, 0.5), calibration(abstain_high=0.75))[0] is Verdict.TAMPERED
    cal = calibration(abstain_low=0.5, abstain_high=0.75)
    assert decide((0.5, 0.25, 0.25), cal)[0] is Verdict.INCONCLUSIVE


def test_strength_changes_exactly_at_the_published_cuts():
    for word, cut in STRENGTH_CUTS.items():
        assert strength(cut) is word
        if cut:
            assert strength(np.nextafter(cut, 0)) is not word
    assert strength(1.0) is Strength.VERY_STRONG


def test_save_and_load_keep_every_digit(tmp_path):
    cal = calibration(temperature=1 / 3, bias=(0.1, 0.2, -0.3), abstain_high=np.nextafter(0.7, 1))
    cal.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == cal


@pytest.mark.parametrize(
    "change", [{"temperature": 0}, {"abstain_low": 0.9}, {"mask_threshold": 1.0}, {"surprise": 1}]
)
def test_a_broken_calibration_is_refused(change):
    with pytest.raises(ValidationError):
        calibration(**change)
