"""What a family of vision-language models tells about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

IMAGE = {"type": "image"}


class Seen(NamedTuple):
    """What the vision tower makes of a batch."""

    tokens: Tensor  # [B, T, text_hidden] image tokens of the language model
    states: tuple[Tensor, ...]  # each [B, 1 + P, vision_hidden]: a summary, then a square grid
    deeper: tuple[Tensor, ...] = ()  # each [B, T, text_hidden], added after the first text layers


@dataclass(frozen=True)
class Family:
    """How one family differs from the others; the rest is the stock class."""

    name: str
    """The module that declares it."""
    model_types: tuple[str, ...]
    """Values of `config.model_type` it serves."""
    image_tokens: Callable[[Any], int]
    """Image tokens of one square picture at the size in the configuration."""
    build_processor: Callable[[Any, Any, Any], Any]
    """A processor from image processor, tokenizer and configuration; works without torchvision."""
    lora_targets: str
    """Regular expression of the language model's linear layers that peft adapts."""
    shallow_layers: Callable[[Any], tuple[int, int]]
    """Hidden states of the vision tower the adapter reads (0 = embeddings)."""
    see: Callable[[Any, Tensor], Seen]
    """Image tokens and hidden states from backbone and pixel values."""
    chat_template: str
    """Used where the tokenizer brings none that shows pictures."""
    placeholder: str
    """What the chat template writes for a picture, replaced by what `picture` gives."""
    projectors: tuple[str, ...]
    """Names of the modules between tower and language model, below the backbone."""
    picture: Callable[[Any, str], str] = lambda _tokenizer, tokens: tokens
    """The image tokens as text, framed as the family was trained; from the tokenizer and them."""
    vision_size: Callable[[Any], int] = lambda config: square_side(config.vision_config.image_size)
    """Side in pixels of the square picture that the tower is given."""
    patches: Callable[[Any, Tensor], Tensor] = lambda _config, square: square
    """`pixel_values` of normalised square pictures `[B, 3, s, s]`, from the configuration."""
    language_inputs: Callable[[Any, Tensor, Tensor], dict[str, Tensor]] = lambda *_: {}
    """What the language model needs beside embeddings, from configuration, token ids `[B, L]` and
    where in them the user's question stands, `[B, L]` bool, the picture included."""
    pictures: Callable[[Tensor, tuple[Tensor, ...]], dict[str, Any]] | None = None
    """For classes that embeddings alone do not show the whole picture: what has them put image
    tokens and the `deeper` features of `Seen` in place themselves."""
    generate: Callable[..., Tensor] = lambda backbone, **options: backbone.generate(**options)
    """Continues from embeddings; options are those of `generate`."""

    def prompt(self, tokenizer: Any, text: str) -> str:
        """The user's turn about one picture, ready for an answer, with one `placeholder`.

        Args:
            tokenizer: or a processor.
            text: what follows the picture.
        """
        message = {"role": "user", "content": [IMAGE, {"type": "text", "text": text}]}
        own = tokenizer.chat_template
        shows = isinstance(own, str) and "image" in own
        turn = tokenizer.apply_chat_template(
            [message], chat_template=own if shows else self.chat_template, tokenize=False,
            add_generation_prompt=True,
        )  # fmt: skip
        return str(turn)


def square_side(size: Any) -> int:
    """Pixels per side, of a number or a pair."""
    return int(size if isinstance(size, int) else size[0])


def dinov2_size(config: Any) -> int:
    """As `square_side`; DINOv2 keeps positions for 518 pixels and is used at 224."""
    side = square_side(config.vision_config.image_size)
    return 224 if side == 518 else side


def see_with_class_token(backbone: Any, pixel_values: Tensor) -> Seen:
    """Towers whose hidden states begin with a class token: CLIP, InternViT."""
    seen = backbone.get_image_features(
        pixel_values=pixel_values, output_hidden_states=True, return_dict=True
    )
    return Seen(stacked(seen.pooler_output), tuple(seen.hidden_states))


def see_patches_only(backbone: Any, pixel_values: Tensor) -> Seen:
    """Towers without a class token, as SigLIP: the mean of the patches stands in for it."""
    seen = see_with_class_token(backbone, pixel_values)
    return seen._replace(states=tuple(map(summarised, seen.states)))


def generate_from_embeddings(backbone: Any, **options: Any) -> Tensor:
    """For classes that take `inputs_embeds` in `generate` but do not name it, which it checks."""
    model = backbone.generate.__self__  # peft hands on the method of the model inside
    stock = model.prepare_inputs_for_generation

    # The name `kwargs` tells generation that more arguments go on to `forward`.
    def prepare(input_ids: Tensor, inputs_embeds: Tensor | None = None, **kwargs: Any) -> Any:
        return stock(input_ids, inputs_embeds=inputs_embeds, **kwargs)

    model.prepare_inputs_for_generation = prepare
    try:
        return torch.as_tensor(model.generate(**options))
    finally:
        del model.prepare_inputs_for_generation


def stacked(tokens: Any) -> Tensor:
    """Image tokens as one tensor; some families return a list with one entry per picture."""
    return tokens if isinstance(tokens, Tensor) else torch.stack(tuple(tokens))


def summarised(state: Tensor) -> Tensor:
    """The mean of `[B, P, D]` put before its patches."""
    return torch.cat([state.mean(1, keepdim=True), state], 1)


def two_shallow(depth: int) -> tuple[int, int]:
    """A third and two thirds of the way up: block 8 of 12 read best on unseen sources."""
    first = max(1, depth // 3)
    return first, max(first, 2 * depth // 3)


def lora_on(language: str) -> str:
    """The attention projections below the module of this name, never those of the vision tower."""
    return rf"(.*\.)?{language}\..*\.(q|k|v|o)_proj"


def chat_template(image: str, start: str, end: str, *, model: str = "assistant") -> str:
    """A plain template: `start role`, the content in its order, `end`."""
    return (
        "{% for message in messages %}"
        f"{start}{{{{ message['role'] }}}}\n"
        "{% for part in message['content'] %}"
        f"{{% if part['type'] == 'image' %}}{image}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}"
        "{% endfor %}"
        f"{end}\n"
        "{% endfor %}"
        f"{{% if add_generation_prompt %}}{start}{model}\n{{% endif %}}"
    )
