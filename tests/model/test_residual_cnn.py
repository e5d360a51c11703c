"""The trained low-level baselines: what they see, and that the shipped ones judge."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch

from vlm_forensics.evaluation.baselines import BASELINES
from vlm_forensics.features import npr as npr_feature
from vlm_forensics.features.base import PixelArray
from vlm_forensics.model import residual_cnn
from vlm_forensics.model.inputs import STD, to_tensor
from vlm_forensics.weights import baseline_file

NAMES = list(residual_cnn.RESIDUALS)


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)


def test_npr_is_the_feature_s_on_the_normalised_picture(rgb: np.ndarray) -> None:
    normal = rgb / 255 / np.asarray(STD)
    expected = npr_feature.residual(normal) * 2 / 3
    found = residual_cnn.npr(to_tensor(rgb)[None])[0].permute(1, 2, 0).numpy()
    assert found == pytest.approx(expected, abs=1e-5)


def test_hh_is_the_inner_band_of_the_wavelet_transform(rgb: np.ndarray) -> None:
    plain = rgb[..., 0] / 255
    band = pywt.dwt2(plain, "bior1.3", "symmetric")[1][2][1:-1, 1:-1]
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(band)[None, None], scale_factor=2, mode="bilinear"
    )[0, 0]
    found = residual_cnn.dwt_hh(to_tensor(rgb)[None])[0, 0]
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_centre_is_judged_and_an_even_part_of_it(name: str) -> None:
    network = residual_cnn.ResidualCnn(name).eval()
    large = np.random.default_rng(1).integers(0, 256, (300, 401, 3), np.uint8)
    inner = large[22:278, 72:328]
    assert network.judge(large) == network.judge(inner)
    assert network.judge(inner) != network.judge(inner[::-1].copy())
    assert 0 < network.judge(large[:33, :47]) < 1


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_networks_are_small_and_are_baselines(name: str, rgb: np.ndarray) -> None:
    assert baseline_file(name).stat().st_size < 2**20
    (baseline,) = (one for one in BASELINES if one.name.startswith(f"{name} "))
    numbers = baseline.measure(PixelArray(rgb), {})
    assert numbers == [residual_cnn.load(name).judge(rgb)]
    assert baseline.scores(np.asarray([numbers, [0.25]])).tolist() == [*numbers, 0.25]
