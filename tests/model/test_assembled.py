"""One contract for every backbone family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import (
    CLS,
    EVIDENCE,
    FAMILIES,
    IMAGE,
    SEG,
    image_tokens,
    inputs_of,
    model_of,
    targets_of,
)
from transformers import AutoConfig, AutoModelForImageTextToText

from vlm_forensics.model.config import VlmForensicsConfig
from vlm_forensics.model.losses import IGNORE, class_loss, mask_loss, tile_loss
from vlm_forensics.model.modeling import LOSS_WEIGHTS, VlmForensicsModel

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # asked for by peft


@pytest.fixture(params=list(FAMILIES))
def model(request: pytest.FixtureRequest) -> VlmForensicsModel:
    return model_of(request.param)


def test_every_loss_is_there(model: VlmForensicsModel) -> None:
    batch = inputs_of(model)
    model.loss_weights["consistency"] = 0.1  # off by default
    out = model(**batch, labels=batch["input_ids"], targets=targets_of())
    assert out.parts.keys() == LOSS_WEIGHTS.keys()
    assert out.loss.item() == pytest.approx(sum(part.item() for part in out.parts.values()))
    assert all(part.isfinite() and part > 0 for part in out.parts.values())
    assert out.logits.shape[:2] == batch["input_ids"].shape
    assert out.class_logits.shape == out.text_class_logits.shape == (2, 3)
    assert out.mask_logits.shape == (2, 16, 24)


def test_without_labels_there_is_no_loss(model: VlmForensicsModel) -> None:
    out = model(**inputs_of(model))
    assert out.loss is None
    assert out.parts is None


def test_every_trained_part_moves(model: VlmForensicsModel) -> None:
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(r=2, target_modules=r".*language_model.*q_proj", init_lora_weights=False)
    model.backbone = get_peft_model(model.backbone, settings)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("backbone" not in name or "lora_" in name or "projector" in name)
    before = {name: value.clone() for name, value in model.named_parameters()}
    batch = inputs_of(model)
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    model(**batch, labels=batch["input_ids"], targets=targets_of()).loss.backward()
    optimiser.step()
    moved = {n for n, value in model.named_parameters() if not torch.equal(value, before[n])}
    for part in (
        "adapter.stream.stem", "adapter.stream.stage16", "adapter.shallow.0", "adapter.shallow.1",
        "adapter.fuse", "adapter.class_head", "adapter.low_level_head", "adapter.operation_head",
        "adapter.tile_head", "adapter.queries", "adapter.attend", "adapter.to_text",
        "adapter.decision", "mask_decoder.from_text", "mask_decoder.default_prompt",
        "mask_decoder.hyper", "text_class_head", "multi_modal_projector", "lora_A", "lora_B",
    ):  # fmt: skip
        assert any(part in name for name in moved), part
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert frozen
    assert not frozen & moved


def test_samples_without_labels_teach_nothing() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    pixels = torch.randn(2, 8, 8, requires_grad=True)
    nobody = torch.tensor([False, False])
    total = (
        class_loss(logits, torch.tensor([IGNORE, IGNORE]))
        + mask_loss(pixels, torch.ones(2, 8, 8), nobody)
        + tile_loss(pixels[:, None], torch.ones(2, 8, 8), nobody)
    )
    total.backward()
    assert total.item() == 0
    assert logits.grad is not None
    assert pixels.grad is not None
    assert not logits.grad.any()
    assert not pixels.grad.any()


def test_mask_loss_falls_as_the_mask_fits() -> None:
    truth = torch.zeros(1, 16, 16)
    truth[:, 4:9, 4:12] = 1
    known = torch.tensor([True])
    right, flat, wrong = (
        mask_loss(sign * (truth * 2 - 1) * 6, truth, known).item() for sign in (1, 0, -1)
    )
    assert right < flat < wrong
    assert right < 0.05


def test_images_and_evidence_take_their_places(model: VlmForensicsModel) -> None:
    model.train(False)
    batch = inputs_of(model)
    ids = batch["input_ids"]
    found = model.detect(batch["pixel_values"], batch["overview"])
    assert found.image_tokens.shape[-1] == 48
    assert found.image_tokens.reshape(2, -1, 48).shape[1] == image_tokens(model)
    embeds = model.embed(ids, found)
    assert torch.equal(embeds[ids == IMAGE], found.image_tokens.reshape(-1, 48))
    assert torch.equal(embeds[ids == EVIDENCE], found.adapter.evidence.reshape(-1, 48))
    plain = (ids != IMAGE) & (ids != EVIDENCE)
    assert torch.equal(embeds[plain], model.get_input_embeddings()(ids)[plain])


def test_the_text_reads_picture_and_heads(model: VlmForensicsModel) -> None:
    model.train(False)
    batch = inputs_of(model)
    plain = model(**batch).logits
    other = model(**batch | {"pixel_values": batch["pixel_values"].flip(0)}).logits
    assert not torch.allclose(plain[:, -1], other[:, -1], atol=1e-5)
    model.adapter.class_head.bias.data += torch.tensor([5.0, 0, 0])
    assert not torch.allclose(plain[:, -1], model(**batch).logits[:, -1], atol=1e-6)


def test_the_written_seg_moves_the_mask_once_trained(model: VlmForensicsModel) -> None:
    model.train(False)
    batch = inputs_of(model)
    found = model.detect(batch["pixel_values"], batch["overview"])
    assert torch.equal(model(**batch).mask_logits, found.mask_logits)  # from_text starts at zero
    torch.nn.init.normal_(model.mask_decoder.from_text.weight, std=0.5)
    assert not torch.allclose(model(**batch).mask_logits, found.mask_logits, atol=1e-4)
    without = inputs_of(model, seg=False)
    assert torch.allclose(model(**without).mask_logits, found.mask_logits, atol=1e-6)


def test_tiles_move_the_classes_and_nothing_else(model: VlmForensicsModel) -> None:
    model.train(False)
    batch = inputs_of(model)
    pair = batch["pixel_values"], batch["overview"]
    plain, empty = model.detect(*pair), model.detect(*pair, torch.zeros(2, 0, 3, 64, 64))
    tiled = model.detect(*pair, torch.rand(2, 3, 3, 64, 64) * 255)
    assert torch.equal(plain.adapter.class_logits, empty.adapter.class_logits)
    assert not torch.allclose(plain.adapter.class_logits, tiled.adapter.class_logits)
    assert torch.equal(plain.mask_logits, tiled.mask_logits)
    assert torch.equal(plain.adapter.operation_logits, tiled.adapter.operation_logits)


def test_generation_is_greedy_and_repeats(model: VlmForensicsModel) -> None:
    model.train(False)
    batch = inputs_of(model)
    ids, mask = batch["input_ids"][:, :-2], batch["attention_mask"][:, :-2]
    with torch.inference_mode():
        found = model.detect(batch["pixel_values"], batch["overview"])
        first, second = (model.generate_text(ids, mask, found, max_new_tokens=5) for _ in "ab")
        whole = torch.cat([ids, first], 1)
        hidden = model.hidden_states(whole, found)
        logits = model(whole, torch.ones_like(whole), batch["pixel_values"], batch["overview"])
    assert 1 <= first.shape[1] <= 5
    assert torch.equal(first, second)
    assert hidden.shape == (*whole.shape, 48)
    greedy = logits.logits[:, ids.shape[1] - 1 : -1].argmax(-1)
    until_end = (first == 257).cumsum(1) == 0
    assert torch.equal(greedy[until_end], first[until_end])


def test_a_saved_model_comes_back_identical(model: VlmForensicsModel, tmp_path: Path) -> None:
    model.train(False)
    model.save_pretrained(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert isinstance(again, VlmForensicsModel)
    batch, tiles = inputs_of(model), torch.rand(2, 1, 3, 64, 64) * 255
    with torch.inference_mode():
        ours, theirs = (m(**batch) for m in (model, again))
        first, second = (
            m.detect(batch["pixel_values"], batch["overview"], tiles) for m in (model, again)
        )
    for name in ("logits", "class_logits", "text_class_logits", "mask_logits"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    for name, value in first.adapter._asdict().items():
        assert torch.equal(value, getattr(second.adapter, name)), name


def test_fixed_residuals_survive_saving(model: VlmForensicsModel, tmp_path: Path) -> None:
    """Buffers are what loading on an empty device forgets when they are not saved."""
    model.save_pretrained(tmp_path)
    again = VlmForensicsModel.from_pretrained(tmp_path)
    buffers = dict(again.named_buffers())
    kept = {n: b for n, b in model.named_buffers() if n.startswith("adapter.")}
    assert {"adapter.stream.residuals.hh", "adapter.stream.residuals.srm"} <= kept.keys()
    assert all(torch.equal(buffers[name], value) for name, value in kept.items())


def test_the_configuration_comes_back(model: VlmForensicsModel, tmp_path: Path) -> None:
    model.config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(again, VlmForensicsConfig)
    assert type(again.backbone_config) is type(model.config.backbone_config)
    assert tuple(again.shallow_layers) == tuple(model.config.shallow_layers)
    assert (again.evidence_token_id, again.cls_token_id, again.seg_token_id) == (EVIDENCE, CLS, SEG)
    assert again.get_text_config().hidden_size == again.text_hidden_size == 48


def test_the_language_model_in_bfloat16_keeps_its_rotary_frequencies() -> None:
    model = model_of()
    tower = model.backbone.model.vision_tower
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.language_to(torch.bfloat16)
    assert {p.dtype for p in model.backbone.get_decoder().parameters()} == {torch.bfloat16}
    assert model.backbone.get_output_embeddings().weight.dtype == torch.bfloat16
    assert {p.dtype for p in (*tower.parameters(), *model.adapter.parameters())} == {torch.float32}
    assert any("inv_freq" in name for name in before)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    head, table = model.backbone.get_output_embeddings(), model.get_input_embeddings()
    assert head.weight is table.weight, "tied tables stay one"
