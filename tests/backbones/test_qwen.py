"""Qwen's blocks, three-way positions and DeepStack features are those of the stock classes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import BLOCKS, PATCH, inputs_of, model_of
from tiny_models import CLS, EVIDENCE, IMAGE, SEG
from torch import Tensor

from vlm_forensics.model.modeling import Detection, VlmForensicsModel

GRID = torch.tensor([[1, BLOCKS, BLOCKS]] * 2)
both = pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])


@both
def test_patches_come_in_raster_order(name: str) -> None:
    model = model_of(name)
    pixels = torch.randn(2, 64, 2 * 3 * 14**2)
    visual: Any = model.backbone.model.visual
    if hasattr(visual, "pos_embed"):  # added before the first layer
        torch.nn.init.zeros_(visual.pos_embed.weight)
    states = model.family.see(model.backbone, pixels).states[0][:, 1:]
    patches = visual.patch_embed(pixels.flatten(0, 1)).reshape(2, 4, 4, 2, 2, -1)
    for row, column in ((0, 0), (0, 7), (3, 4), (6, 1)):
        wanted = patches[:, row // 2, column // 2, row % 2, column % 2]
        assert torch.allclose(states[:, row * 8 + column], wanted, atol=1e-5)


@both
def test_positions_are_those_of_transformers(name: str) -> None:
    model = model_of(name)
    ids = inputs_of(model)["input_ids"]
    found = model.detect(*(inputs_of(model)[name] for name in ("pixel_values", "overview")))
    ours = model.beside(ids, found)["position_ids"]
    language: Any = model.backbone.model
    theirs, _ = language.get_rope_index(
        ids, image_grid_thw=GRID, mm_token_type_ids=(ids == IMAGE).int()
    )
    assert torch.equal(ours, theirs)


def stock_inputs(model: VlmForensicsModel) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A batch without a token of ours, for our model and for the class below it."""
    batch = inputs_of(model)
    ids = torch.stack([row[~torch.isin(row, torch.tensor([EVIDENCE, CLS, SEG]))]
                       for row in batch["input_ids"]])  # fmt: skip
    ids[1, -1] = 9
    ours = batch | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    stock = {
        "input_ids": ids, "attention_mask": torch.ones_like(ids), "image_grid_thw": GRID,
        "pixel_values": batch["pixel_values"].flatten(0, 1),
        "mm_token_type_ids": (ids == IMAGE).int(),
    }  # fmt: skip
    return ours, stock


@both
def test_without_a_token_of_ours_it_is_the_stock_model(name: str) -> None:
    model = model_of(name).eval()
    ours, stock = stock_inputs(model)
    with torch.inference_mode():
        assert torch.allclose(model(**ours).logits, model.backbone(**stock).logits, atol=1e-5)
        found = model.detect(ours["pixel_values"], ours["overview"])
        ids, mask = ours["input_ids"], ours["attention_mask"]
        new = model.generate_text(ids, mask, found, max_new_tokens=5)
        whole = model.backbone.generate(
            **stock, max_new_tokens=5, do_sample=False, eos_token_id=257, pad_token_id=257
        )
    assert torch.equal(new, whole[:, ids.shape[1] :])


def test_deeper_features_reach_the_language_model() -> None:
    from vlm_forensics.tuning.policy import Reader

    model = model_of("qwen3_vl").eval()
    model.config.vision_size = BLOCKS * PATCH
    batch = inputs_of(model)
    ids, mask = batch["input_ids"], batch["attention_mask"]

    class Changed(VlmForensicsModel):
        layer: int

        def detect(self, *inputs: Any) -> Detection:
            found = super().detect(*inputs)
            deeper = list(found.deeper)
            deeper[self.layer] = 5 * deeper[self.layer] + 1
            return found._replace(deeper=tuple(deeper))

    def told() -> list[Tensor]:
        found = model.detect(batch["pixel_values"], batch["overview"])
        read = Reader(model)(ids, mask, batch["overview"]).last_hidden_state
        return [model(**batch).logits, model.hidden_states(ids, found), read]

    with torch.inference_mode():
        found = model.detect(batch["pixel_values"], batch["overview"])
        assert [one.shape for one in found.deeper] == [found.image_tokens.shape] * 2
        before = told()
        model.__class__ = Changed
        # Behind the second and last layer no text is left that could read them.
        for Changed.layer, place in ((0, -1), (1, 1)):
            for one, other in zip(before, told(), strict=True):
                assert not torch.allclose(one[:, place], other[:, place], atol=1e-4)


@both
def test_every_projector_learns_from_the_answer(name: str) -> None:
    model = model_of(name)
    batch = inputs_of(model)
    model(**batch, labels=batch["input_ids"]).loss.backward()
    for part in model.family.projectors:
        module = model.backbone.get_submodule(part)
        for parameter in module.parameters():
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0
