"""Both training stages on a corpus of eight pictures and a model of a few thousand weights."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import LAYERS, WIDTH, config_of, internvl, model_of, tokenizer

from vlm_forensics import adapters
from vlm_forensics.backbones.mini import SPECIAL_TOKENS
from vlm_forensics.collate import TextInputs
from vlm_forensics.datasets.equalise import SIDE
from vlm_forensics.fitting import detection_stage, language_stage, residual_stage, stream_stage
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.detection_stage import DetectionDataset
from vlm_forensics.fitting.language_stage import Rationale, RationaleDataset
from vlm_forensics.fitting.residual_card import card
from vlm_forensics.fitting.sampling import BalancedSampler
from vlm_forensics.fitting.views import Views
from vlm_forensics.model.losses import IGNORE
from vlm_forensics.model.modeling import VlmForensicsModel
from vlm_forensics.taxonomy import Label

SAMPLES = 8
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # asked for by peft


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    draw = np.random.default_rng(0)
    classes = np.array([0, 1, 2, 0, 2, 0, 2, 0])
    masks = np.zeros((SAMPLES, SIDE, SIDE), bool)
    masks[classes == 2, 64:160, 32:128] = True
    return Corpus(
        draw.integers(0, 256, (SAMPLES, SIDE, SIDE, 3), dtype=np.uint8), masks, classes,
        np.where(classes == 2, 1, IGNORE), classes != 1, np.array(["a", "b"] * 4),
        np.array([f"{n}.png" for n in range(SAMPLES)]), np.full(SAMPLES, 90),
    )  # fmt: skip


@pytest.fixture(scope="module")
def states() -> np.ndarray:
    shape = (SAMPLES, len(LAYERS), 1 + 16, WIDTH)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float16)


def test_stage_a_trains_and_resumes(corpus: Corpus, states: np.ndarray, tmp_path: Path) -> None:
    config = config_of(internvl())
    data = DetectionDataset(corpus, states, np.arange(SAMPLES), seed=0)
    torch.manual_seed(0)
    before = detection_stage.DetectionParts(config).state_dict()

    def train(steps: int) -> dict[str, torch.Tensor]:
        parts = detection_stage.train(
            config, data, tmp_path, steps=steps, batch=2, learning_rate=1e-2, seed=0
        )
        return parts.state_dict()

    once = train(2)
    moved = {name for name in once if not torch.equal(before[name], once[name])}
    trained = ("stem", "stage16", "shallow", "class_head", "operation_head", "tile_head", "hyper")
    for part in trained:
        assert any(part in name for name in moved), part
    assert not any("residuals" in name for name in moved)
    assert (tmp_path / "checkpoint-2").is_dir()
    saved = load_file(tmp_path / "final" / "model.safetensors")
    assert all(torch.equal(saved[name], once[name]) for name in saved)

    more = train(4)
    assert not torch.equal(more["adapter.class_head.weight"], once["adapter.class_head.weight"])
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-4"]
    optimiser = torch.load(tmp_path / "checkpoint-4" / "optimizer.pt", weights_only=True)
    assert {int(one["step"]) for one in optimiser["state"].values()} == {4}, "it began anew"


def test_the_stream_learns_alone_and_stage_a_starts_from_it(
    corpus: Corpus, states: np.ndarray, tmp_path: Path
) -> None:
    config = config_of(internvl())
    data = stream_stage.CropDataset(corpus, seed=0)
    assert data.weights().sum() == pytest.approx(1)
    tampered = data[int(np.flatnonzero(data.index == 2)[0])]
    assert tampered["altered"].shape == (8, 8)
    synthetic = data[int(np.flatnonzero(data.index == 1)[0])]
    assert (synthetic["altered"] == 1).all()
    trained = stream_stage.train(
        config.low_level_widths, corpus, tmp_path / "stream", steps=2, batch=2,
        learning_rate=1e-2, seed=0,
    )  # fmt: skip
    again = stream_stage.load(config.low_level_widths, tmp_path / "stream")
    assert all(torch.equal(v, trained.state_dict()[k]) for k, v in again.state_dict().items())
    parts = detection_stage.train(
        config, DetectionDataset(corpus, states, np.arange(SAMPLES), seed=0), tmp_path / "a",
        steps=1, batch=2, learning_rate=0.0, seed=0, stream=again,
    )  # fmt: skip
    taken = parts.adapter.cell_head.state_dict()
    assert all(torch.equal(value, again.head.state_dict()[name]) for name, value in taken.items())


def test_predictions_cover_every_picture(corpus: Corpus, states: np.ndarray) -> None:
    parts = detection_stage.DetectionParts(config_of(internvl())).eval()
    found = detection_stage.predict(parts, corpus.rgb[:3], states[:3], batch=2)
    assert {name: value.shape for name, value in found.items()} == {
        "class": (3, 3), "low_level": (3, 3), "operation": (3, 9), "mask": (3, 64, 64),
    }  # fmt: skip
    assert (found["mask"] >= 0).all()
    assert (found["mask"] <= 1).all()


def test_mirroring_keeps_picture_mask_and_patches_together(
    corpus: Corpus, states: np.ndarray
) -> None:
    plain = DetectionDataset(corpus, states, np.arange(SAMPLES), 0, augment=False)[2]
    data = DetectionDataset(corpus, states, np.arange(SAMPLES), 0)
    shapes = {name: value.shape for name, value in plain.items()}
    mirrored = 0
    for _ in range(12):
        drawn = data[2]
        assert {name: value.shape for name, value in drawn.items()} == shapes
        if not torch.equal(drawn["masks"], plain["masks"]):
            mirrored += 1
            assert torch.equal(drawn["masks"].flip(1), plain["masks"])
            assert torch.corrcoef(
                torch.stack([drawn["overview"].flip(2).flatten(), plain["overview"].flatten()])
            )[0, 1] > 0.5  # fmt: skip
            back = drawn["shallow"][:, 1:].unflatten(1, (4, 4)).flip(2).flatten(1, 2)
            ratio = (back / plain["shallow"][:, 1:]).nanmedian()
            assert ratio == pytest.approx(1, abs=0.2)
    assert 0 < mirrored < 12


def test_classes_are_drawn_evenly(corpus: Corpus) -> None:
    sampler = BalancedSampler(corpus.classes, corpus.source, seed=0)
    drawn = np.concatenate([corpus.classes[list(sampler)] for _ in range(200)])
    shares = np.bincount(drawn) / len(drawn)
    assert np.allclose(shares, 1 / 3, atol=0.05)


@pytest.fixture
def prepared() -> tuple[VlmForensicsModel, TextInputs]:
    model = model_of()
    text = TextInputs.of(tokenizer(), model.config)
    new = text.tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS))
    language_stage.prepare(model, rank=2, new_tokens=new)
    return model, text


def test_stage_b_trains_only_what_it_says(
    prepared: tuple[VlmForensicsModel, TextInputs], corpus: Corpus, states: np.ndarray,
    tmp_path: Path,
) -> None:  # fmt: skip
    model, text = prepared
    before = {name: value.clone() for name, value in model.state_dict().items()}
    answers = ["<answer>real</answer>", "<answer>tampered [SEG]</answer>"]
    said = [Rationale(n, "real 90%", "nothing stands out", answers[n // 2]) for n in (0, 2)]
    data = RationaleDataset(corpus, states, said)

    def train(model: VlmForensicsModel, steps: int) -> dict[str, torch.Tensor]:
        language_stage.train(
            model, data, text, tmp_path, steps=steps, batch=2, learning_rate=1e-2, seed=0
        )
        return {name: value.clone() for name, value in model.state_dict().items()}

    after = train(model, 2)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    for part in ("lora_B", "multi_modal_projector", "adapter.to_text", "adapter.queries",
                 "adapter.decision", "mask_decoder.from_text", "text_class_head",
                 "trainable_tokens_delta"):  # fmt: skip
        assert any(part in name for name in moved), part
    kept = ("adapter.stream.", "adapter.fuse.", "adapter.class_head.", "mask_decoder.hyper.")
    assert not [name for name in moved if name.startswith(kept)]
    assert not [name for name in moved if "base_layer" in name]

    saved = load_file(tmp_path / "checkpoint-2" / "model.safetensors")
    assert saved.keys() == {f"model.{n}" for n, p in model.named_parameters() if p.requires_grad}
    assert all(torch.equal(value, after[name[6:]]) for name, value in saved.items())
    train(model, 3)
    assert (tmp_path / "checkpoint-3").is_dir()
    optimiser = torch.load(tmp_path / "checkpoint-3" / "optimizer.pt", weights_only=True)
    assert {int(one["step"]) for one in optimiser["state"].values()} == {3}, "it began anew"


def test_a_checkpoint_comes_back_into_a_fresh_model(
    prepared: tuple[VlmForensicsModel, TextInputs],
) -> None:
    trained = language_stage.StepModel(prepared[0])
    with torch.no_grad():
        for parameter in trained.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
    other = model_of()
    ids = prepared[1].tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS))
    language_stage.prepare(other, rank=2, new_tokens=ids)
    fresh = language_stage.StepModel(other)
    assert fresh.load_state_dict(trained.state_dict(), False).missing_keys == []
    ours, theirs = fresh.model.state_dict(), trained.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_exported_parts_rebuild_the_trained_model(
    prepared: tuple[VlmForensicsModel, TextInputs], tmp_path: Path
) -> None:
    from peft import PeftModel

    model, text = prepared
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:  # a value bfloat16 holds exactly
                parameter.add_(torch.randn_like(parameter) * 0.1)
                parameter.copy_(parameter.bfloat16())
    language_stage.export(model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "lora", adapters.TRAINED}
    lora = {path.name for path in (tmp_path / adapters.LORA).iterdir()}
    assert lora == {"adapter_config.json", "adapter_model.safetensors"}

    again = model_of()
    again.load_state_dict(copy.deepcopy(model_of().state_dict()))
    adapters.put_trained(again, load_file(tmp_path / adapters.TRAINED))
    again.backbone = PeftModel.from_pretrained(again.backbone, tmp_path / adapters.LORA)
    again.backbone = again.backbone.merge_and_unload()

    model.train(False)
    again.train(False)
    ids = torch.tensor([text.prompt_ids("tampered 83%, splice", "noise 2.0x inside")])
    hidden = torch.randn(1, len(LAYERS), 17, WIDTH)
    again.backbone.model.vision_tower = model.backbone.base_model.model.model.vision_tower
    overview = torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        first, second = (m(ids, torch.ones_like(ids), hidden, overview) for m in (model, again))
    assert torch.allclose(first.logits, second.logits, atol=1e-4)
    assert torch.equal(first.class_logits, second.class_logits)
    assert torch.allclose(first.mask_logits, second.mask_logits, atol=1e-4)
    assert torch.allclose(first.text_class_logits, second.text_class_logits, atol=1e-4)


def test_incomplete_trained_parts_are_refused(
    prepared: tuple[VlmForensicsModel, TextInputs], tmp_path: Path
) -> None:
    from vlm_forensics.errors import WeightsError

    model, _ = prepared
    language_stage.export(model, tmp_path)
    state = load_file(tmp_path / adapters.TRAINED)
    wrong = torch.zeros(7)
    for broken in (
        {name: value for name, value in state.items() if "tile_head" not in name},
        state | {"adapter.unknown": wrong},
        state | {"adapter.queries": wrong},
    ):
        with pytest.raises(WeightsError) as caught:
            adapters.put_trained(model_of(), broken)
        assert caught.value.code == "weights_corrupt"


def views_of(labels: list[str], sources: list[str]) -> Views:
    rgb = np.random.default_rng(3).integers(0, 256, (len(labels), SIDE, SIDE, 3), np.uint8)
    for n, label in enumerate(labels):
        if label == Label.SYNTHETIC:  # pixels in fours, as after nearest-neighbour upsampling
            rgb[n] = rgb[n, ::2, ::2].repeat(2, 0).repeat(2, 1)
    nothing = np.zeros(len(labels), bool)
    names = np.asarray([f"{n}.png" for n in range(len(labels))])
    return Views(rgb, np.zeros(rgb.shape[:3], bool), np.asarray(labels), np.asarray(sources),
                 names, nothing, np.asarray([""] * len(labels)))  # fmt: skip


def test_a_residual_network_learns_real_from_synthetic(tmp_path: Path) -> None:
    labels = [str(label) for label in (Label.REAL, Label.SYNTHETIC, Label.TAMPERED)] * 4
    parts = [views_of(labels, ["a", "b", "c"] * 3 + ["unfit"] * 3)]
    data = residual_stage.ResidualDataset(parts, ["unfit"], seed=0)
    assert data.classes.tolist() == [0, 1] * 3
    assert data.source.tolist() == ["a", "b"] * 3
    one = data[1]
    assert one["rgb"].shape == (3, residual_stage.CROP, residual_stage.CROP)
    assert one["synthetic"] == 1
    network = residual_stage.train("npr_cnn", data, tmp_path / "run", steps=8, batch=6,
                                   learning_rate=1e-2, seed=0)  # fmt: skip
    kept = residual_stage.train("npr_cnn", data, tmp_path / "run", steps=8, batch=6,
                                learning_rate=1e-2, seed=0)  # fmt: skip
    assert all(torch.equal(v, kept.state_dict()[k]) for k, v in network.state_dict().items())
    residual_stage.export(network, tmp_path / "npr.safetensors")
    again = residual_stage.ResidualCnn("npr_cnn")
    again.load_state_dict(load_file(tmp_path / "npr.safetensors"))
    found = residual_stage.validate(again.eval(), parts, ["unfit"])
    assert (found.real, found.synthetic, found.all.value) == (3, 3, 1)
    assert found.sources == {}, "no source holds both classes"
    page = card(data, {"npr_cnn": found}, {"steps": 8}, residual_stage.CROP)
    assert "| real | 3 | 1 |" in page
    assert "Seed 0; steps 8" in page
