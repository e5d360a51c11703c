"""Idefics3: a SigLIP tower, a pixel shuffle, pictures counted per prompt."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vlm_forensics.backbones.base import Family, Seen, lora_on, see_patches_only, two_shallow


def _image_tokens(config: Any) -> int:
    tower = config.vision_config
    return int((tower.image_size // tower.patch_size) ** 2 // config.scale_factor**2)


def _processor(image_processor: Any, tokenizer: Any, config: Any) -> Any:
    from transformers import Idefics3Processor

    # One square picture: the default cuts it into up to 36 and adds the whole.
    image_processor.do_image_splitting = False
    return Idefics3Processor(image_processor, tokenizer, image_seq_len=_image_tokens(config))


def _see(backbone: Any, pixel_values: Tensor) -> Seen:
    # The processor gives `[B, pictures, 3, h, w]`; plain `[B, 3, h, w]` means one picture each.
    pictures = pixel_values if pixel_values.ndim == 5 else pixel_values[:, None]
    return see_patches_only(backbone, pictures)


def _picture(_tokenizer: Any, tokens: str) -> str:
    around = "<fake_token_around_image>"
    return f"{around}<global-img>{tokens}{around}"


FAMILY = Family(
    name="idefics3",
    model_types=("idefics3",),
    image_tokens=_image_tokens,
    build_processor=_processor,
    lora_targets=lora_on("text_model"),
    shallow_layers=lambda config: two_shallow(config.vision_config.num_hidden_layers),
    see=_see,
    placeholder="<image>",
    projectors=("model.connector",),
    picture=_picture,
    chat_template=(
        "<|im_start|>{% for message in messages %}User:{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}<end_of_utterance>\n{% endfor %}"
        "{% if add_generation_prompt %}Assistant:{% endif %}"
    ),
)
