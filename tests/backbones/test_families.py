"""One contract for every family of backbones, on tiny random models."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_families import BUILDERS, TEXT, image_tokens, inputs_of, model_of, processor_of
from tiny_models import targets_of

from vlm_forensics import backbones
from vlm_forensics.errors import ModelError
from vlm_forensics.model.modeling import VlmForensicsModel

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # asked for by peft


@pytest.fixture(params=sorted(BUILDERS))
def model(request: pytest.FixtureRequest) -> VlmForensicsModel:
    return model_of(request.param).eval()


def with_lora(model: VlmForensicsModel) -> None:
    from peft import LoraConfig, get_peft_model

    targets = model.family.lora_targets
    settings = LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
    model.backbone = get_peft_model(model.backbone, settings)


def test_every_family_is_tested() -> None:
    assert tuple(sorted(BUILDERS)) == backbones.names()
    assert tuple(family.name for family in backbones.all_families()) == backbones.names()


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ModelError) as refused:
        backbones.for_config(SimpleNamespace(model_type="unheard_of"))
    assert refused.value.code == "model_unsupported"
    assert all(name in refused.value.hint for name in backbones.names())


def test_forward_and_detect(model: VlmForensicsModel) -> None:
    batch = inputs_of(model)
    with torch.inference_mode():
        found = model.detect(batch["pixel_values"], batch["overview"])
        out = model(**batch, labels=batch["input_ids"], targets=targets_of())
    assert found.image_tokens.shape[-1] == TEXT
    tokens = found.image_tokens.reshape(2, -1, TEXT).shape[1]
    assert tokens == image_tokens(model.config.backbone_config)
    assert out.logits.shape[:2] == batch["input_ids"].shape
    assert out.class_logits.shape == out.text_class_logits.shape == (2, 3)
    assert out.mask_logits.shape == found.mask_logits.shape == (2, 16, 24)
    assert out.loss.isfinite()


def test_the_text_reads_the_picture(model: VlmForensicsModel) -> None:
    batch = inputs_of(model)
    with torch.inference_mode():
        plain = model(**batch).logits
        other = model(**batch | {"pixel_values": batch["pixel_values"].flip(0)}).logits
    assert not torch.allclose(plain[:, -1], other[:, -1], atol=1e-7)


def test_paligemma_reads_the_question_both_ways_and_the_answer_forwards() -> None:
    model = model_of("paligemma").eval()
    batch = inputs_of(model)
    ids, cls = batch["input_ids"], model.config.cls_token_id
    end = int((ids[0] == cls).int().argmax())
    ids = torch.cat([ids[:, :end], torch.full((2, 3), 9), ids[:, end:]], 1)  # a longer question

    def hidden(place: int) -> torch.Tensor:
        found = model.detect(batch["pixel_values"], batch["overview"])
        changed = ids.clone()
        changed[:, place] = 11
        return model.hidden_states(changed, found)[:, end]  # at the question's first word

    with torch.inference_mode():
        asked, answered, plain = hidden(end + 2), hidden(end + 4), hidden(end + 5)
    assert not torch.allclose(asked, plain, atol=1e-5)
    assert torch.allclose(answered, plain, atol=1e-6)


def test_seg_prompts_the_mask(model: VlmForensicsModel) -> None:
    torch.nn.init.normal_(model.mask_decoder.from_text.weight, std=0.5)
    batch = inputs_of(model)
    with torch.inference_mode():
        found = model.detect(batch["pixel_values"], batch["overview"])
        said = model(**batch).mask_logits
    assert not torch.allclose(said, found.mask_logits, atol=1e-4)


def test_generation_continues_what_forward_scores(model: VlmForensicsModel) -> None:
    batch = inputs_of(model)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    with torch.inference_mode():
        found = model.detect(batch["pixel_values"], batch["overview"])
        new = model.generate_text(ids, mask, found, max_new_tokens=4)
        whole = torch.cat([ids, new], 1)
        again = model(whole, torch.ones_like(whole), batch["pixel_values"], batch["overview"])
    assert 1 <= new.shape[1] <= 4
    greedy = again.logits[:, ids.shape[1] - 1 : -1].argmax(-1)
    until_end = (new == 257).cumsum(1) == 0
    assert torch.equal(greedy[until_end], new[until_end])


def test_one_step_moves_what_is_trained(model: VlmForensicsModel) -> None:
    with_lora(model.train())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("backbone" not in name or "lora_" in name)
    before = {name: value.clone() for name, value in model.named_parameters()}
    batch = inputs_of(model)
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    model(**batch, labels=batch["input_ids"], targets=targets_of()).loss.backward()
    optimiser.step()
    moved = {n for n, value in model.named_parameters() if not torch.equal(value, before[n])}
    for part in (
        "adapter.stream", "adapter.shallow.0", "adapter.shallow.1", "adapter.class_head",
        "adapter.to_text", "mask_decoder.hyper", "text_class_head", "lora_A", "lora_B",
    ):  # fmt: skip
        assert any(part in name for name in moved), part
    assert not {name for name, value in model.named_parameters() if not value.requires_grad} & moved
    assert not any("vision" in name or "visual" in name for name in moved if "backbone" in name)


def same(first: VlmForensicsModel, second: VlmForensicsModel, tolerance: float) -> None:
    batch = inputs_of(first)
    with torch.inference_mode():
        ours, theirs = first(**batch), second(**batch)
    for name in ("logits", "class_logits", "text_class_logits", "mask_logits"):
        ones, others = getattr(ours, name), getattr(theirs, name)
        assert torch.allclose(ones, others, atol=tolerance, rtol=0), name


def test_saving_and_merging_keep_the_outputs(model: VlmForensicsModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "plain")
    again = VlmForensicsModel.from_pretrained(tmp_path / "plain").eval()
    same(model, again, 0)
    with_lora(model)
    model.eval()
    backbone: Any = again.backbone
    backbone.load_state_dict(_merged(model))
    same(model, again, 1e-4)
    again.save_pretrained(tmp_path / "merged")
    same(again, VlmForensicsModel.from_pretrained(tmp_path / "merged").eval(), 0)


def _merged(model: VlmForensicsModel) -> dict[str, torch.Tensor]:
    from copy import deepcopy

    backbone: Any = deepcopy(model.backbone)
    state: dict[str, torch.Tensor] = backbone.merge_and_unload().state_dict()
    return state


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # PaliGemma's, inside
def test_the_processor_works_without_torchvision(model: VlmForensicsModel) -> None:
    processor, image = processor_of(model.family.name)
    picture = Image.effect_noise((80, 60), 60).convert("RGB")
    text = model.family.prompt(processor.tokenizer, "Is it real?")
    assert "Is it real?" in text
    made = processor(images=[picture], text=[text], return_tensors="pt")
    config: Any = model.config.backbone_config
    assert int((made["input_ids"] == image).sum()) == model.family.image_tokens(config)
    mask = made.get("pixel_attention_mask")
    assert mask is None or mask.all()  # the adapter's grid covers the whole picture
    pixels = made["pixel_values"]
    with torch.inference_mode():
        seen = model.family.see(model.backbone, pixels if pixels.ndim > 2 else pixels[None])
    assert seen.tokens.reshape(1, -1, TEXT).shape[1] == model.family.image_tokens(config)
