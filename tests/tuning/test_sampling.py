"""What is drawn: classes evenly, harder examples more often, and the same again after a stop."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import LAYERS, WIDTH, config_of, inputs_of, internvl, model_of, targets_of
from torch.utils.data import BatchSampler

from vlm_forensics.fitting import detection_stage
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.detection_stage import DetectionDataset, DetectionParts
from vlm_forensics.fitting.language_stage import StepModel
from vlm_forensics.fitting.sampling import BalancedSampler, DifficultySampler, Drawn
from vlm_forensics.model.losses import IGNORE
from vlm_forensics.tuning import draws
from vlm_forensics.tuning.settings import Balanced, MomentumDifficulty, Shuffled

CLASSES = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
SIDE = 64


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    count = len(CLASSES)
    masks = np.zeros((count, SIDE, SIDE), bool)
    masks[CLASSES == 2, 16:40, 8:32] = True
    rgb = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    return Corpus(rgb, masks, CLASSES, np.where(CLASSES == 2, 1, IGNORE), CLASSES != 1,
                  np.array(["s"] * count), np.array([str(n) for n in range(count)]),
                  np.full(count, 90))  # fmt: skip


def difficulty(corpus: Corpus, **more: Any) -> DifficultySampler:
    settings: dict[str, Any] = {"momentum": 0.5, "most": 4.0, **more}
    return DifficultySampler(corpus.classes, corpus.source, 0, **settings)


def drawn(sampler: BalancedSampler, rounds: int) -> np.ndarray:
    return np.concatenate([list(sampler) for _ in range(rounds)])


def test_settings_name_samplers(corpus: Corpus) -> None:
    index = np.arange(len(corpus))
    assert draws.sampler(Shuffled(), corpus, index, 0) is None
    assert type(draws.sampler(Balanced(), corpus, index, 0)) is BalancedSampler
    made = draws.sampler(MomentumDifficulty(momentum=0.7, most=3), corpus, index, 0)
    assert isinstance(made, DifficultySampler)
    assert (made.momentum, made.most) == (0.7, 3)


def test_harder_examples_are_drawn_more_often_and_classes_evenly(corpus: Corpus) -> None:
    sampler = difficulty(corpus)
    untouched = drawn(sampler, 300)
    losses = np.array([8.0, 1, 1, 1, 1, 1, 2, 2, 0.1, 0.3])
    sampler.update(np.arange(len(corpus)), losses)
    after = drawn(sampler, 300)
    for found in (untouched, after):
        shares = np.bincount(CLASSES[found]) / len(found)
        assert np.allclose(shares, 1 / 3, atol=0.04)
    counts = np.bincount(after, minlength=len(corpus))
    assert counts[0] / counts[1:6].mean() > 3
    assert counts[9] / counts[8] == pytest.approx(3, rel=0.3)
    assert counts[6] == pytest.approx(counts[7], rel=0.2)


def test_difficulty_has_momentum_and_bounds(corpus: Corpus) -> None:
    sampler = difficulty(corpus, momentum=0.9, most=1.5)
    sampler.update(np.array([0, 0]), np.array([1.0, 2.0]))
    assert sampler.average[0] == pytest.approx(1.1)
    sampler.update(np.array([0, 1]), np.array([np.nan, 1000.0]))
    assert sampler.average[0] == pytest.approx(1.1)
    weights = sampler.weights()
    assert weights[1] / weights[2] == pytest.approx(1.5, rel=1e-6)
    assert weights[0] / weights[2] == pytest.approx(1 / 1.5, rel=1e-6)


@pytest.mark.parametrize("kind", [BalancedSampler, difficulty])
def test_a_state_goes_on_where_it_was(kind: Any, corpus: Corpus) -> None:
    """As transformers resumes: batches that were trained on are skipped, one was fetched ahead."""

    def make() -> BalancedSampler:
        if kind is difficulty:
            return difficulty(corpus)
        return BalancedSampler(corpus.classes, corpus.source, 0)

    def learn(sampler: BalancedSampler, batch: list[int]) -> None:
        if isinstance(sampler, DifficultySampler):
            sampler.update(np.array(batch), 1.0 + np.array(batch, float) ** 2)

    whole, state = make(), ""
    list(whole)  # a round that is over
    batches, seen = iter(BatchSampler(whole, 2, drop_last=False)), []
    ahead = next(batches)
    for step in range(4):
        batch, ahead = ahead, next(batches)
        learn(whole, batch)
        seen.append(batch)
        if step == 1:
            state = json.dumps(whole.state())
    resumed, again = make(), []
    resumed.load(json.loads(state))
    batches = iter(BatchSampler(resumed, 2, drop_last=False))
    next(batches), next(batches)
    ahead = next(batches)
    for _ in range(2):
        batch, ahead = ahead, next(batches)
        learn(resumed, batch)
        again.append(batch)
    assert again == seen[2:]
    assert [one.number for one in again[0]] == [14, 15]


def test_a_repeated_draw_is_changed_the_same_way(corpus: Corpus) -> None:
    states = np.random.default_rng(1).standard_normal((len(corpus), 2, 5, WIDTH)).astype(np.float16)
    data = DetectionDataset(corpus, states, np.arange(len(corpus)), seed=0)
    other = DetectionDataset(corpus, states, np.arange(len(corpus)), seed=0)
    other[3], other[5]
    for number in range(6):
        first, second = data[Drawn(8, number)], other[Drawn(8, number)]
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert len({float(data[Drawn(8, n)]["overview"].sum()) for n in range(6)}) > 1


def test_the_loss_of_each_is_that_of_a_batch_of_its_own() -> None:
    torch.manual_seed(0)
    parts = DetectionParts(config_of(internvl())).eval()
    batch = {
        "shallow": torch.randn(2, len(LAYERS), 17, WIDTH),
        "overview": torch.rand(2, 3, 64, 96) * 255,
        **targets_of(),
    }
    each = parts(**batch, row=torch.arange(2))["each"]
    alone = [parts(**{name: value[n : n + 1] for name, value in batch.items()})["loss"]
             for n in range(2)]  # fmt: skip
    assert each.tolist() == pytest.approx([one.item() for one in alone], rel=1e-3)
    assert "each" not in parts(**batch)


def test_stage_b_says_the_loss_of_each() -> None:
    model = model_of().eval()
    off = ("class", "low_level", "operation", "tile", "cell")
    model.loss_weights |= {**dict.fromkeys(off, 0.0), "consistency": 0.3}
    step = StepModel(model)
    batch = inputs_of(model)
    labels = batch["input_ids"].clone()
    labels[:, :-4] = IGNORE
    labels[0, -4:-2] = IGNORE
    batch |= {"labels": labels}
    each = step(**batch, targets=targets_of(), row=torch.arange(2)).each
    alone = []
    for n in range(2):
        one = {name: value[n : n + 1] for name, value in batch.items()}
        targets = {name: value[n : n + 1] for name, value in targets_of().items()}
        alone.append(step(**one, targets=targets).loss.item())
    assert each.tolist() == pytest.approx(alone, rel=1e-2)
    assert step(**batch, targets=targets_of()).each is None


@pytest.mark.parametrize("hard", [False, True])
def test_stage_a_resumes_exactly(corpus: Corpus, tmp_path: Any, hard: bool) -> None:
    states = np.random.default_rng(1).standard_normal((len(corpus), 2, 17, WIDTH))
    config = config_of(internvl())

    def train(out: str, steps: int) -> dict[str, torch.Tensor]:
        data = DetectionDataset(corpus, states.astype(np.float16), np.arange(len(corpus)), seed=0)
        sampler = difficulty(corpus) if hard else None
        made = detection_stage.train(config, data, tmp_path / out, steps=steps, batch=2,
                                     learning_rate=0.0, seed=0, sampler=sampler)  # fmt: skip
        return made.state_dict()

    def state(out: str, step: int) -> Any:
        path = tmp_path / out / f"checkpoint-{step}" / "trainer_state.json"
        return json.loads(path.read_text())["stateful_callbacks"]["SamplerState"]["attributes"]

    train("whole", 7)
    train("stopped", 3)
    train("stopped", 7)
    assert state("stopped", 7) == state("whole", 7)
    assert ("average" in state("whole", 7)) is hard


def test_a_checkpoint_of_a_round_fetched_to_its_end_goes_on_in_that_round() -> None:
    def fresh() -> BalancedSampler:
        classes = np.array([0, 0, 1, 1, 2])
        return BalancedSampler(classes, np.array(list("abcde")), seed=3)

    whole = fresh()
    rounds = [[int(row) for row in whole] for _ in range(3)]
    ahead = fresh()
    assert [int(row) for row in ahead] == rounds[0]  # all fetched, not all trained on
    again, after = fresh(), fresh()
    again.load(ahead.state())
    after.load(ahead.state(), trained=True)
    assert [[int(row) for row in again] for _ in range(2)] == rounds[:2]
    assert [[int(row) for row in after] for _ in range(2)] == rounds[1:]
