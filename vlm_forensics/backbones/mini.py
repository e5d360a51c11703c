"""The built-in backbone: InternVL's stock class around ViT-S/14 and SmolLM2-135M-Instruct.

Pixel shuffle turns the 16×16 patches of a 224-pixel picture into 64 image tokens.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    Dinov2Model,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
)

VISION_LAYERS = 8
"""Blocks of the encoder that are kept: block 8 read best with whole sources held out."""
VISION_SIZE = 224
IMAGE_TOKENS = 64
SPECIAL_TOKENS = ("<image>", "<evidence>", "[CLS]", "[SEG]")
"""Appended to the vocabulary in this order."""

_RENAMED = {
    "norm1.": "layernorm_before.",
    "norm2.": "layernorm_after.",
    "attention.o_proj.": "attention.projection_layer.",
    "layer_scale1.lambda1": "lambda_1",
    "layer_scale2.lambda1": "lambda_2",
}


def backbone_config(language: Path, vision: Path) -> InternVLConfig:
    """Configuration over converted base weights; the vocabulary grows by the special tokens."""
    text = AutoConfig.from_pretrained(language)
    text.name_or_path = ""  # a folder of this machine, nothing for the shipped configuration
    text.vocab_size += len(SPECIAL_TOKENS)
    dinov2 = AutoConfig.from_pretrained(vision)
    tower = InternVLVisionConfig(
        hidden_size=dinov2.hidden_size, num_hidden_layers=VISION_LAYERS,
        num_attention_heads=dinov2.num_attention_heads, attention_bias=True,
        intermediate_size=dinov2.hidden_size * dinov2.mlp_ratio,
        image_size=dinov2.image_size, patch_size=dinov2.patch_size, use_mean_pooling=False,
    )  # fmt: skip
    return InternVLConfig(
        vision_config=tower, text_config=text, downsample_ratio=0.5,
        vision_feature_layer=VISION_LAYERS, image_seq_length=IMAGE_TOKENS,
        image_token_id=text.vocab_size - len(SPECIAL_TOKENS),
    )  # fmt: skip


def load_base(model: InternVLForConditionalGeneration, language: Path, vision: Path) -> None:
    """Copies the base weights into a freshly built backbone."""
    from safetensors.torch import load_file

    dinov2 = Dinov2Model.from_pretrained(vision, dtype=torch.float32)
    model.model.vision_tower.load_state_dict(_vision_state(dinov2.state_dict()))
    state = load_file(language / "model.safetensors")
    state.pop("lm_head.weight", None)  # tied to the embeddings
    text = {key.removeprefix("model."): value for key, value in state.items()}
    embeddings = text.pop("embed_tokens.weight")
    missing, unexpected = model.model.language_model.load_state_dict(text, strict=False)
    if unexpected or missing != ["embed_tokens.weight"]:
        raise RuntimeError(f"language weights do not fit: {missing} {unexpected}")
    with torch.no_grad():
        table: Tensor = model.get_input_embeddings().get_parameter("weight")
        table[: len(embeddings)] = embeddings
        # The mean keeps the first logits of new tokens ordinary (Hewitt 2021).
        table[len(embeddings) :] = embeddings.float().mean(0).to(table.dtype)


def _vision_state(dinov2: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {}
    for key, value in dinov2.items():
        for old, new in _RENAMED.items():
            key = key.replace(old, new)  # noqa: PLW2901
        number = key.removeprefix("encoder.layer.").split(".")[0]
        dropped = number.isdigit() and int(number) >= VISION_LAYERS
        if not dropped and "mask_token" not in key:
            state[key] = value
    return state
