"""PaliGemma 1 and 2: a SigLIP tower, every patch one token, a prefix read both ways."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vlm_forensics.backbones.base import (
    Family,
    generate_from_embeddings,
    lora_on,
    see_patches_only,
    two_shallow,
)


def _image_tokens(config: Any) -> int:
    return int((config.vision_config.image_size // config.vision_config.patch_size) ** 2)


def _processor(image_processor: Any, tokenizer: Any, config: Any) -> Any:
    from transformers import PaliGemmaProcessor

    image_processor.image_seq_length = _image_tokens(config)
    build: Any = PaliGemmaProcessor
    return build(image_processor, tokenizer)


def _types(config: Any, input_ids: Tensor, question: Tensor) -> dict[str, Tensor]:
    prefix = question | (input_ids == config.image_token_id)
    return {"token_type_ids": (~prefix).long()}


FAMILY = Family(
    name="paligemma",
    model_types=("paligemma",),
    image_tokens=_image_tokens,
    build_processor=_processor,
    lora_targets=lora_on("language_model"),
    shallow_layers=lambda config: two_shallow(config.vision_config.num_hidden_layers),
    see=see_patches_only,
    placeholder="<image>",
    projectors=("model.multi_modal_projector",),
    picture=lambda tokenizer, tokens: f"{tokens}{tokenizer.bos_token}",
    chat_template=(
        "{% for message in messages %}{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}\n"
    ),
    language_inputs=_types,
    generate=generate_from_embeddings,
)
