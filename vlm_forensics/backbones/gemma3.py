"""Gemma 3: a SigLIP tower pooled to a fixed number of tokens, which see each other both ways."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vlm_forensics.backbones.base import (
    Family,
    chat_template,
    generate_from_embeddings,
    lora_on,
    see_patches_only,
    two_shallow,
)


def _processor(image_processor: Any, tokenizer: Any, config: Any) -> Any:
    from transformers import Gemma3Processor

    return Gemma3Processor(image_processor, tokenizer, image_seq_length=config.mm_tokens_per_image)


def _types(config: Any, input_ids: Tensor, _question: Tensor) -> dict[str, Tensor]:
    return {"token_type_ids": (input_ids == config.image_token_id).long()}


FAMILY = Family(
    name="gemma3",
    model_types=("gemma3",),
    image_tokens=lambda config: int(config.mm_tokens_per_image),
    build_processor=_processor,
    lora_targets=lora_on("language_model"),
    shallow_layers=lambda config: two_shallow(config.vision_config.num_hidden_layers),
    see=see_patches_only,
    placeholder="<start_of_image>",
    projectors=("model.multi_modal_projector",),
    picture=lambda _, tokens: f"\n\n<start_of_image>{tokens}<end_of_image>\n\n",
    chat_template=chat_template(
        "<start_of_image>", "<start_of_turn>", "<end_of_turn>", model="model"
    ),
    language_inputs=_types,
    generate=generate_from_embeddings,
)
