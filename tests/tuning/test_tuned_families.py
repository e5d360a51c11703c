"""Every family takes an SFT step and a GRPO step, is saved, rebuilt and merged, on tiny models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "backbones"))
from tiny_families import BUILDERS, model_of, processor_of
from tuning_data import CALIBRATION, REFERENCE
from tuning_starts import snapshot, start_of, two_examples

from vlm_forensics import adapters
from vlm_forensics.collate import TextInputs
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.model.modeling import VlmForensicsModel
from vlm_forensics.tuning import groups, grpo, scorecard, settings, sft
from vlm_forensics.tuning.examples import Examples
from vlm_forensics.tuning.policy import Policy, PolicyProcessor, overviews
from vlm_forensics.tuning.start import Start

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`"),  # asked for by peft
    pytest.mark.filterwarnings("ignore:__array__ implementation"),  # PaliGemma's, inside
]


@pytest.fixture(params=sorted(BUILDERS))
def start(request: pytest.FixtureRequest) -> Start:
    return start_of(request.param)


@pytest.fixture(scope="module")
def examples() -> Examples:
    return two_examples()


def read(name: str, *changes: str) -> Any:
    common = ("training.steps=1", "training.batch=2", "training.save_every=1", "lora.rank=2",
              "training.learning_rate=0.05", "lora.dropout=0.0")  # fmt: skip
    return settings.read(name, [*common, *changes])


def test_sft_saves_what_rebuilds_the_model(
    start: Start, examples: Examples, tmp_path: Path
) -> None:
    wanted = read("laptop-sft")
    sft.adapt(start, wanted)
    before = snapshot(start.model)
    sft.train(start, examples, wanted, tmp_path / "run")
    after = start.model.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    for part in ("lora_B", *start.model.family.projectors, "adapter.queries", "text_class_head",
                 "mask_decoder.from_text", "trainable_tokens_delta"):  # fmt: skip
        assert any(part in name for name in moved), part
    assert not [name for name in moved if "base_layer" in name or "adapter.stream" in name]

    adapters.write(start.model, start.text.tokenizer, "base", tmp_path / "small")
    fresh = model_of(start.model.family.name).eval()
    again = adapters.rebuild(tmp_path / "small", fresh)
    first, second = (spoken(m, start, examples) for m in (start.model, again))
    assert torch.allclose(first, second, atol=1e-3)


@torch.inference_mode()
def spoken(model: VlmForensicsModel, start: Start, examples: Examples) -> torch.Tensor:
    model.eval()
    ids = torch.tensor([start.text.prompt_ids("real 90%", "nothing")])
    overview = to_tensor(np.asarray(examples.corpus.rgb[:1]))
    return torch.as_tensor(model(ids, torch.ones_like(ids), overview=overview).logits)


def test_grpo_moves_lora_only(start: Start, examples: Examples, tmp_path: Path) -> None:
    wanted = read("laptop-grpo", "training.accumulate=1", "group=2", "max_tokens=8",
                  "rewards={brevity: 1.0, mask: 1.0, consistency: 1.0}", "kl=0.1")  # fmt: skip
    before = snapshot(start.model)
    plain = spoken(start.model, start, examples)
    peft = grpo.train(start, examples, wanted, tmp_path / "run")
    after = start.model.state_dict()
    kept = {name.replace(".base_layer", ""): value for name, value in after.items()
            if "lora_" not in name}  # fmt: skip
    assert kept.keys() == before.keys()
    assert all(torch.equal(before[name], value) for name, value in kept.items())
    adapters.save_policy(peft, tmp_path / "lora")
    other = model_of(start.model.family.name).eval()
    from peft import PeftModel

    wrapped: Any = PeftModel.from_pretrained(other.backbone, tmp_path / "lora")
    other.backbone = wrapped.merge_and_unload()
    assert torch.allclose(spoken(other, start, examples), spoken(start.model, start, examples),
                          atol=1e-3)  # fmt: skip
    assert torch.allclose(plain, spoken(model_of(start.model.family.name).eval(), start, examples))


def test_the_policy_scores_what_the_model_writes(start: Start, examples: Examples) -> None:
    from transformers import GenerationConfig

    policy, processor = Policy(start.model), PolicyProcessor(start.text)
    turns = [[{"role": "user", "content": [{"type": "image", "image": examples.corpus.rgb[n]},
                                           {"type": "text", "text": f"question {'x' * n}"}]}]
             for n in range(2)]  # fmt: skip
    made: Any = processor.apply_chat_template(turns, tokenize=True)
    ids, mask = scorecard.left_padded(made["input_ids"], start.text.tokenizer.pad_token_id)
    greedy = GenerationConfig(max_new_tokens=4, do_sample=False, eos_token_id=257, pad_token_id=257)
    whole = policy.generate(ids, mask, made["pixel_values"], greedy)
    seen = torch.cat([mask, torch.ones_like(whole[:, ids.shape[1] :])], 1)
    logits = policy(whole, seen, made["pixel_values"]).logits[:, ids.shape[1] - 1 : -1]
    new = whole[:, ids.shape[1] :]
    until_end = (new == 257).cumsum(1) == 0
    assert torch.equal(logits.argmax(-1)[until_end], new[until_end])
    alone = policy.generate(torch.tensor([made["input_ids"][0]]), torch.ones(1, len(
        made["input_ids"][0]), dtype=torch.long), made["pixel_values"][:1], greedy)  # fmt: skip
    length = min(alone.shape[1] - len(made["input_ids"][0]), new.shape[1])
    assert torch.equal(alone[0, -length:], new[0, :length]), "padding changed the answer"


def test_a_picture_of_several_answers_is_looked_at_once(
    start: Start, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    overview = overviews([examples.corpus.rgb[n] for n in (1, 0, 1, 1)])
    pixels = start.model.pixels(overview)
    expected = start.model.detect(pixels, overview)
    seen_at_once, detect = [], start.model.detect

    def counted(*inputs: Any) -> Any:
        seen_at_once.append(len(inputs[1]))
        return detect(*inputs)

    monkeypatch.setattr(start.model, "detect", counted)
    found, place = groups.seen(start.model, overview)
    assert seen_at_once == [2]
    assert place[0] == place[2] == place[3] != place[1]
    assert torch.allclose(found.image_tokens, expected.image_tokens, atol=1e-4)
    assert torch.allclose(found.adapter.evidence, expected.adapter.evidence, atol=1e-4)
    assert torch.allclose(found.mask_logits, expected.mask_logits, atol=1e-4)
    assert [len(one) for one in found.deeper] == [4] * len(expected.deeper)


READ_ONCE = {"idefics3", "internvl", "llava"}
"""Families whose language model takes nothing beside its tokens."""


def test_what_answers_share_is_read_once_and_changes_nothing(
    start: Start, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, rows = PolicyProcessor(start.text), (0, 1, 0, 1, 1)
    turns = [[{"role": "user", "content": [{"type": "image", "image": examples.corpus.rgb[n]},
                                           {"type": "text", "text": f"question {'x' * n}"}]}]
             for n in rows]  # fmt: skip
    made: Any = processor.apply_chat_template(turns, tokenize=True)
    ids, mask = scorecard.left_padded(made["input_ids"], start.text.tokenizer.pad_token_id)
    answers = torch.tensor([[40 + (k * n) % 7 for k in range(5)] for n in range(1, 6)])
    ids, mask = torch.cat([ids, answers], 1), torch.cat([mask, torch.ones_like(answers)], 1)
    weights = [one for one in start.model.backbone.model.parameters() if one.requires_grad]
    found, read, language = [], [], start.model.backbone.model
    forward = language.forward

    def counted(**inputs: Any) -> Any:
        read.append(len(inputs["inputs_embeds"]))
        return forward(**inputs)

    monkeypatch.setattr(language, "forward", counted)
    for alone in (False, True):
        if alone:
            monkeypatch.setattr(groups, "common", lambda *_: 0)
        start.model.zero_grad()
        hidden = groups.hidden_states(start.model, ids, mask, made["pixel_values"])
        seen = hidden[:, -6:] * mask[:, -6:, None]
        seen.square().mean().backward()
        slopes = [torch.zeros(()) if one.grad is None else one.grad.norm() for one in weights]
        found.append((seen.detach(), torch.stack(slopes)))
    assert (read[0] == len(set(rows))) is (start.model.family.name in READ_ONCE)
    assert torch.allclose(found[0][0], found[1][0], atol=1e-4)
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-2, atol=1e-5)
    assert found[0][1].sum() > 0


def test_answers_of_a_group_are_what_each_would_be_alone(
    start: Start, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import GenerationConfig

    policy, processor, rows = Policy(start.model), PolicyProcessor(start.text), (0, 1, 0, 1, 1)
    turns = [[{"role": "user", "content": [{"type": "image", "image": examples.corpus.rgb[n]},
                                           {"type": "text", "text": f"question {'x' * n * 60}"}]}]
             for n in rows]  # fmt: skip
    made: Any = processor.apply_chat_template(turns, tokenize=True)
    ids, mask = scorecard.left_padded(made["input_ids"], start.text.tokenizer.pad_token_id)
    greedy = GenerationConfig(max_new_tokens=6, do_sample=False, eos_token_id=257, pad_token_id=257)
    places, language = [], start.model.backbone.model
    forward = language.forward

    def recorded(**inputs: Any) -> Any:
        places.append(inputs.get("position_ids"))
        return forward(**inputs)

    with monkeypatch.context() as watched:
        watched.setattr(language, "forward", recorded)
        together = policy.generate(ids, mask, made["pixel_values"], greedy)
    if start.model.family.name in READ_ONCE:  # generation must count on from the shared part
        assert set(places[1][:, 0].tolist()) == set((places[0][:, -1] + 1).tolist())
    monkeypatch.setattr(groups, "common", lambda *_: 0)
    assert torch.equal(together, policy.generate(ids, mask, made["pixel_values"], greedy))


def test_the_shared_beginning_ends_where_any_group_parts() -> None:
    ids = torch.tensor([[1, 2, 3, 4], [9, 2, 3, 4], [1, 2, 3, 5], [9, 2, 7, 4]])
    place = torch.tensor([1, 0, 1, 0])
    assert groups.firsts(place).tolist() == [1, 0]
    assert groups.common(ids, torch.ones_like(ids), place) == 2
    padded = torch.ones_like(ids)
    padded[3, 0] = 0
    assert groups.common(ids, padded, place) == 0
    assert groups.common(ids, torch.ones_like(ids), torch.arange(4)) == 0
    assert groups.common(ids[:1].repeat(2, 1), torch.ones(2, 4), torch.tensor([0, 0])) == 3


@pytest.fixture(params=sorted(BUILDERS))
def plain(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model of the family as the hub has it: no part of ours, its own tokenizer."""
    model: Any = model_of(request.param).backbone
    processor, image = processor_of(request.param)
    model.config.image_token_id = image
    model.resize_token_embeddings(len(processor.tokenizer))
    model.save_pretrained(tmp_path / request.param)
    processor.tokenizer.save_pretrained(tmp_path / request.param)
    processor.image_processor.save_pretrained(tmp_path / request.param)
    return tmp_path / request.param


@pytest.mark.parametrize("four_bit", [False, True])
def test_a_plain_model_is_wrapped_and_takes_a_step(
    plain: Path, four_bit: bool, examples: Examples, tmp_path: Path
) -> None:
    from vlm_forensics.wrapping import wrap

    model, words = wrap(str(plain), four_bit=four_bit, offline=True)
    assert set(model.config.image_mean) <= {0.5, 0.48145466, 0.4578275, 0.40821073}
    kinds = {name.rpartition(".")[2]: type(part).__name__ for name, part in
             model.backbone.named_modules() if name.endswith(("q_proj", "fc1", "qkv"))}  # fmt: skip
    assert kinds.pop("q_proj") == ("Linear4bit" if four_bit else "Linear")
    assert set(kinds.values()) <= {"Linear"}, "the tower keeps its weights"
    start = Start(model, TextInputs.of(words, model.config), CALIBRATION, REFERENCE)
    wanted = read("laptop-sft", f"lora.four_bit={str(four_bit).lower()}")
    sft.adapt(start, wanted)
    before = snapshot(model)
    sft.train(start, examples, wanted, tmp_path / "run")
    after = model.state_dict()
    assert any("lora_B" in name and not torch.equal(before[name], after[name]) for name in after)


def test_rows_that_padding_left_alike_are_told_apart(plain: Path) -> None:
    from transformers import AutoModelForImageTextToText

    from vlm_forensics.collate import OWN_TOKENS
    from vlm_forensics.wrapping import wrap

    stock: Any = AutoModelForImageTextToText.from_pretrained(plain, dtype=torch.float32)
    _, words = wrap(str(plain), offline=True)
    alike = [stock.config.image_token_id, *words.convert_tokens_to_ids(list(OWN_TOKENS))]
    stock.get_input_embeddings().weight.data[alike] = 0.01
    stock.save_pretrained(plain)
    first, second = (wrap(str(plain), offline=True)[0] for _ in range(2))
    rows = [model.get_input_embeddings().weight for model in (first, second)]
    assert len(rows[0][alike].unique(dim=0)) == len(alike)
    assert torch.equal(rows[0], rows[1])
    ids = torch.tensor([TextInputs.of(words, first.config).prompt_ids("real 90%", "nothing")])
    seen = first.detect(first.pixels(torch.zeros(1, 3, 64, 64)), torch.zeros(1, 3, 64, 64))
    assert first.hidden_states(ids, seen).isfinite().all()


def test_what_cannot_be_wrapped_is_named(tmp_path: Path) -> None:
    from transformers import LlamaConfig

    from vlm_forensics.errors import ModelError
    from vlm_forensics.wrapping import wrap

    LlamaConfig().save_pretrained(tmp_path)
    for name, code in ((tmp_path, "model_unsupported"), (tmp_path / "x", "model_not_found")):
        with pytest.raises(ModelError) as refused:
            wrap(str(name), offline=True)
        assert refused.value.code == code
        assert "qwen2_5_vl" in refused.value.hint


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_pixels_are_those_of_the_processor(name: str) -> None:
    from PIL import Image

    model = model_of(name)
    config: Any = model.config
    processor, _ = processor_of(name)
    config.image_mean = tuple(processor.image_processor.image_mean)
    config.image_std = tuple(processor.image_processor.image_std)
    side = model.family.vision_size(config.backbone_config)
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    text = model.family.prompt(processor.tokenizer, "?")
    made = processor(images=[Image.fromarray(pixels)], text=[text], return_tensors="pt")
    ours = model.pixels(to_tensor(pixels[None]))
    assert torch.allclose(ours.flatten(), made["pixel_values"].flatten().float(), atol=1e-2)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_turns_are_those_of_the_processor(name: str) -> None:
    from PIL import Image

    model = model_of(name)
    processor, image = processor_of(name)
    config: Any = model.config
    config.backbone_config.image_token_id = image
    ours = TextInputs.of(processor.tokenizer, config).turn("Is it real?")
    side = model.family.vision_size(config.backbone_config)
    text = model.family.prompt(processor.tokenizer, "Is it real?")
    picture = Image.new("RGB", (side, side))
    made = processor(images=[picture], text=[text], return_tensors="pt")["input_ids"][0].tolist()
    assert ours in processor.tokenizer.decode(made)
