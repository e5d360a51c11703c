"""Training-free scores on towers whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import model_of, save
from torch import Tensor
from torch.nn import functional as F

from vlm_forensics.calibration import Calibration
from vlm_forensics.datasets.base import Sample
from vlm_forensics.evaluation import training_free
from vlm_forensics.evaluation.baselines import BASELINES, DISTURBED
from vlm_forensics.evaluation.conditions import SQUARE
from vlm_forensics.evaluation.judge import Judge
from vlm_forensics.evaluation.judged import Look
from vlm_forensics.features.reference import Reference
from vlm_forensics.taxonomy import Label

PIXELS = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def identity(pixels: Tensor) -> list[Tensor]:
    """The embedding is the picture."""
    return [torch.zeros(len(pixels), 1, 4), pixels.flatten(1)[:, None]]


def test_rigid_is_the_papers_formula() -> None:
    noise = torch.randn((3, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    moved = (PIXELS + 0.05 * noise).flatten(1).double()
    wanted = 1 - F.cosine_similarity(PIXELS.flatten(1).double(), moved).mean().item()
    found = training_free.scores(identity, 1, PIXELS)
    assert found[0] == pytest.approx(wanted, abs=1e-7)
    assert found[1] > found[0], "a picture of noise suffers more from blur"


def test_a_smooth_picture_moves_under_noise_and_not_under_blur() -> None:
    found = training_free.scores(identity, 1, torch.ones(1, 3, 16, 16))
    assert found[0] == found[1] > 0


def test_a_tower_that_sees_nothing_does_not_move() -> None:
    found = training_free.scores(lambda p: [torch.ones(len(p), 1, 4)], 0, PIXELS)
    assert np.allclose(found, 0, atol=1e-12)


def test_more_noise_moves_more_and_the_same_seed_moves_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = training_free.scores(identity, 1, PIXELS)
    assert (training_free.scores(identity, 1, PIXELS) == first).all()
    monkeypatch.setattr(training_free, "NOISE", 0.2)
    assert training_free.scores(identity, 1, PIXELS)[0] > first[0]


def test_scores_without_a_threshold_call_nothing() -> None:
    assert [b.calls for b in BASELINES if b.name == DISTURBED] == [False, False]
    assert all(b.calls for b in BASELINES if b.name != DISTURBED)


def test_the_judge_disturbs_every_picture_it_takes_baselines_of(tmp_path: Path) -> None:
    folder, path = tmp_path / "model", tmp_path / "picture.png"
    save(model_of(), folder)
    Reference({}, 0).save(folder / "reference.json")
    Calibration(
        id="test", temperature=1.0, bias=(0.0, 0.0, 0.0), abstain_low=0.2, abstain_high=0.8,
        mask_threshold=0.5,
    ).save(folder / "calibration.json")  # fmt: skip
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(rgb).save(path)
    sample = Sample(path=path, label=Label.REAL, split="test", source="s")
    judge = Judge.load(folder, rationale=False)
    with_baselines = judge.judge(sample, Look(SQUARE, baselines=True)).baselines
    assert len(with_baselines[DISTURBED]) == 2
    assert all(0 < value < 2 for value in with_baselines[DISTURBED])
    assert DISTURBED not in judge.judge(sample, Look(SQUARE)).baselines
