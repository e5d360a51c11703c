"""InternVL (2.5 to 3.5): InternViT and a pixel shuffle. `vlmf-mini` is of this family."""

from __future__ import annotations

from typing import Any

from vlm_forensics.backbones.base import (
    Family,
    chat_template,
    dinov2_size,
    lora_on,
    see_with_class_token,
    two_shallow,
)


def _processor(image_processor: Any, tokenizer: Any, config: Any) -> Any:
    from vlm_forensics.backbones._image_only import InternVL

    return InternVL(image_processor, tokenizer, image_seq_length=config.image_seq_length)


def _picture(tokenizer: Any, tokens: str) -> str:
    # vlmf-mini has an image token of its own and no frame.
    return f"<img>{tokens}</img>\n" if "<img>" in tokenizer.get_vocab() else tokens


FAMILY = Family(
    name="internvl",
    model_types=("internvl",),
    image_tokens=lambda config: int(config.image_seq_length),
    build_processor=_processor,
    lora_targets=lora_on("language_model"),
    shallow_layers=lambda config: two_shallow(config.vision_config.num_hidden_layers),
    see=see_with_class_token,
    placeholder="<IMG_CONTEXT>\n",
    projectors=("model.multi_modal_projector",),
    picture=_picture,
    vision_size=dinov2_size,
    chat_template=chat_template("<IMG_CONTEXT>\n", "<|im_start|>", "<|im_end|>"),
)
