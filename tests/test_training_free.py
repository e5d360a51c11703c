"""Training-free scores on towers and pictures whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tiny_models import model_of, save
from torch import Tensor
from torch.nn import functional as F

from vlm_forensics.calibration import Calibration
from vlm_forensics.datasets.base import Sample
from vlm_forensics.errors import WeightsError
from vlm_forensics.evaluation.baselines import BASELINES
from vlm_forensics.evaluation.conditions import SQUARE
from vlm_forensics.evaluation.judge import Judge
from vlm_forensics.evaluation.judged import Look
from vlm_forensics.features.base import PixelArray
from vlm_forensics.features.reference import Reference
from vlm_forensics.forge import networks
from vlm_forensics.taxonomy import Label
from vlm_forensics.training_free import SCORES, Score, disturbance
from vlm_forensics.training_free.scores import Material, measured

PIXELS = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
Rgb = NDArray[np.uint8]


def identity(pixels: Tensor) -> list[Tensor]:
    """The embedding is the picture."""
    return [torch.zeros(len(pixels), 1, 4), pixels.flatten(1)[:, None]]


def test_rigid_is_the_papers_formula() -> None:
    noise = torch.randn((3, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    moved = (PIXELS + 0.05 * noise).flatten(1).double()
    wanted = 1 - F.cosine_similarity(PIXELS.flatten(1).double(), moved).mean().item()
    found = disturbance.moved(identity, 1, PIXELS)
    assert found[0] == pytest.approx(wanted, abs=1e-7)
    assert found[1] > found[0], "a picture of noise suffers more from blur"


def test_a_smooth_picture_moves_under_noise_and_not_under_blur() -> None:
    found = disturbance.moved(identity, 1, torch.ones(1, 3, 16, 16))
    assert found[0] == found[1] > 0


def test_a_tower_that_sees_nothing_does_not_move() -> None:
    found = disturbance.moved(lambda p: [torch.ones(len(p), 1, 4)], 0, PIXELS)
    assert np.allclose(found, 0, atol=1e-12)


def test_more_noise_moves_more_and_the_same_seed_moves_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = disturbance.moved(identity, 1, PIXELS)
    assert (disturbance.moved(identity, 1, PIXELS) == first).all()
    monkeypatch.setattr(disturbance, "NOISE", 0.2)
    assert disturbance.moved(identity, 1, PIXELS)[0] > first[0]


def grain(seed: int = 0, sigma: float = 8) -> Rgb:
    """Grey with the noise of a sensor."""
    noise = np.random.default_rng(seed).normal(128, sigma, (256, 256, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


def soft(rgb: Rgb) -> Rgb:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 1.5), np.uint8)


def scene() -> Rgb:
    """Blobs of all sizes: something to find again."""
    rng = np.random.default_rng(3)
    layers = [cv2.resize(rng.normal(0, 40, (side, side, 3)), (256, 256)) for side in (8, 32, 128)]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def copied(rgb: Rgb) -> Rgb:
    made = rgb.copy()
    made[150:230, 150:230] = rgb[20:100, 20:100]
    return made


def half(first: Rgb, second: Rgb) -> Rgb:
    return np.concatenate([first[:, :128], second[:, 128:]], axis=1)


def enlarged(rgb: Rgb) -> Rgb:
    return np.asarray(cv2.resize(rgb[:170, :170], (256, 256), interpolation=cv2.INTER_LINEAR))


PAIRS: dict[str, tuple[Rgb, Rgb]] = {
    "rigid": (grain(), soft(grain())),
    "rigid_or_blur": (grain(), soft(grain())),
    "reconstruction": (grain(), soft(grain())),
    "npr": (grain(), soft(grain())),
    "dwt_hh": (grain(), soft(grain())),
    "srm": (grain(), soft(grain())),
    "noise": (grain(), soft(grain())),
    "noise_outliers": (grain(), half(grain(), half(grain(sigma=40), grain()))),
    "resampling": (grain(), enlarged(grain())),
    "texture": (grain(), half(grain(), soft(soft(grain())))),
    "copy_move": (scene(), copied(scene())),
}
"""A picture as it should be, and one with the trace that the score looks for."""
PAIRS["noise_outliers"][1][:, :80] = grain(sigma=40)[:, :80]


@pytest.fixture
def autoencoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot keep noise, as those of generators."""
    monkeypatch.setattr(networks, "autoencode", soft)


def value(score: Score, rgb: Rgb) -> float | None:
    """The score of this picture; an encoder that moves as far as the picture is soft."""
    still = float(cv2.Laplacian(rgb, cv2.CV_64F).std())
    return score.measure(Material(PixelArray(rgb), np.array([1 / still, 2 / still])))


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.name)
@pytest.mark.usefixtures("autoencoder")
class TestContract:
    def test_it_lies_where_forgeries_are_expected(self, score: Score) -> None:
        usual, suspect = (np.asarray(value(score, rgb)) for rgb in PAIRS[score.name])
        assert score.oriented(suspect) > score.oriented(usual)

    @pytest.mark.parametrize(
        "make",
        [grain, scene, lambda: np.zeros((256, 256, 3), np.uint8),
         lambda: np.full((256, 256, 3), 255, np.uint8), lambda: grain(sigma=200)],
        ids=["grain", "scene", "black", "white", "noise"],
    )  # fmt: skip
    def test_it_is_finite_and_the_same_twice(self, score: Score, make: Callable[[], Rgb]) -> None:
        material = Material(PixelArray(make()), np.array([0.1, 0.2]))
        first = score.measure(material)
        assert first is not None
        assert np.isfinite(first)
        assert score.measure(material) == first

    def test_it_says_what_it_is(self, score: Score) -> None:
        assert score.expected in {"higher", "lower"}
        assert score.finds is not Label.REAL
        for text in (score.title, score.looks_for, score.caution, score.paper):
            assert text.strip()
            assert "\n" not in text
        assert score.caution.endswith(".")
        assert [one.name for one in SCORES].count(score.name) == 1


def test_without_networks_the_features_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(Material(PixelArray(scene())))
    missing = {score.name for score in SCORES} - found.keys()
    assert missing == {"rigid", "rigid_or_blur", "reconstruction"}

    def damaged(_: Rgb) -> Rgb:
        raise WeightsError("weights_corrupt", "it cannot be read")

    monkeypatch.setattr(networks, "autoencode", damaged)
    with pytest.raises(WeightsError):
        measured(Material(PixelArray(scene())))


def test_scores_without_a_threshold_call_nothing() -> None:
    assert [b.title for b in BASELINES if not b.calls] == [
        f"{score.title}, no training" for score in SCORES
    ]


def test_the_judge_measures_every_picture_it_takes_baselines_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, path = tmp_path / "model", tmp_path / "picture.png"
    save(model_of(), folder)
    Reference({}, 0).save(folder / "reference.json")
    Calibration(
        id="test", temperature=1.0, bias=(0.0, 0.0, 0.0), abstain_low=0.2, abstain_high=0.8,
        mask_threshold=0.5,
    ).save(folder / "calibration.json")  # fmt: skip
    monkeypatch.setattr(networks, "autoencode", soft)
    Image.fromarray(grain()[:64, :64]).save(path)
    sample = Sample(path=path, label=Label.REAL, split="test", source="s")
    judge = Judge.load(folder, rationale=False)
    names = {baseline.name for baseline in BASELINES if not baseline.calls}
    found = judge.judge(sample, Look(SQUARE, baselines=True)).baselines
    assert names <= found.keys()
    assert all(0 < found[name][0] < 2 for name in names if name.startswith("rigid"))
    assert not names & judge.judge(sample, Look(SQUARE)).baselines.keys()
