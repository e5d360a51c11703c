"""LLaVA-1.5: a CLIP tower and a two-layer projector."""

from __future__ import annotations

from typing import Any

from vlm_forensics.backbones.base import Family, lora_on, see_with_class_token, two_shallow


def _image_tokens(config: Any) -> int:
    return int((config.vision_config.image_size // config.vision_config.patch_size) ** 2)


def _processor(image_processor: Any, tokenizer: Any, config: Any) -> Any:
    from transformers import LlavaProcessor

    # The stock crop of the middle hides the borders, which the adapter's grid covers.
    side = config.vision_config.image_size
    image_processor.do_center_crop = False
    image_processor.size = {"height": side, "width": side}
    build: Any = LlavaProcessor
    return build(
        image_processor, tokenizer, patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,  # the class token, which "default" takes off again
    )  # fmt: skip


FAMILY = Family(
    name="llava",
    model_types=("llava",),
    image_tokens=_image_tokens,
    build_processor=_processor,
    lora_targets=lora_on("language_model"),
    shallow_layers=lambda config: two_shallow(config.vision_config.num_hidden_layers),
    see=see_with_class_token,
    placeholder="<image>",
    projectors=("model.multi_modal_projector",),
    chat_template=(
        "{% for message in messages %}USER: {% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
    ),
)
