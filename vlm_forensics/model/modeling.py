"""The assembled model: a stock image-text backbone, the detection adapter and the mask decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    GenerationConfig,
    PreTrainedModel,
)
from transformers.utils.generic import ModelOutput

from vlm_forensics import backbones
from vlm_forensics.model.adapter import AdapterOutput, DetectionAdapter
from vlm_forensics.model.config import VlmForensicsConfig
from vlm_forensics.model.inputs import vision_input
from vlm_forensics.model.losses import (
    IGNORE,
    class_loss,
    consistency_loss,
    detection_loss,
    total,
)
from vlm_forensics.model.mask_decoder import MaskDecoder
from vlm_forensics.model.vocabulary import CLASSES

LOSS_WEIGHTS = {"language": 1.0, "text_class": 0.5, "consistency": 0.0, "class": 1.0,
                "low_level": 0.3, "operation": 0.5, "mask": 1.0, "tile": 0.5,
                "cell": 1.0}  # fmt: skip
"""Of the parts of the training loss, by name; a model's own copy may be changed."""


class Detection(NamedTuple):
    """What the model sees without its language model."""

    adapter: AdapterOutput
    image_tokens: Tensor  # [B, T, text_hidden]
    mask_logits: Tensor  # [B, h/4, w/4] under the default prompt
    deeper: tuple[Tensor, ...] = ()  # each [B, T, text_hidden], for the first text layers

    def rows(self, place: Tensor) -> Detection:
        """These rows of the batch, `[N]` indices, any of them more than once."""
        return Detection(
            AdapterOutput(*(value[place] for value in self.adapter)),
            self.image_tokens[place],
            self.mask_logits[place],
            tuple(one[place] for one in self.deeper),
        )


@dataclass
class VlmForensicsOutput(ModelOutput):
    """Losses and logits of one training or scoring pass."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    """`[B, L, vocabulary]`"""
    class_logits: Tensor | None = None
    """`[B, 3]` of the detection adapter."""
    text_class_logits: Tensor | None = None
    """`[B, 3]` read from `[CLS]`'s hidden state."""
    mask_logits: Tensor | None = None
    """`[B, h/4, w/4]`, prompted by `[SEG]` where the text holds one."""
    parts: dict[str, Tensor] | None = None
    """Weighted losses by name."""
    each: Tensor | None = None
    """`[B]` losses of the samples alone, where a training loop asks for them."""


class VlmForensicsModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A stock image-text backbone of a family in `vlm_forensics.backbones`, plus our parts.

    Example:
        >>> model = VlmForensicsModel.from_pretrained(folder)  # doctest: +SKIP
        >>> found = model.detect(pixel_values, overview)  # doctest: +SKIP
    """

    config_class = VlmForensicsConfig
    config: VlmForensicsConfig
    backbone: Any
    base_model_prefix = "vlm_forensics"
    main_input_name = "input_ids"

    def __init__(self, config: VlmForensicsConfig, backbone: nn.Module | None = None) -> None:
        super().__init__(config)
        backbones.for_config(config.backbone_config)  # refuses what no family serves
        build: Any = AutoModelForImageTextToText.from_config
        self.backbone = build(config.backbone_config) if backbone is None else backbone
        self.loss_weights = dict(LOSS_WEIGHTS)
        self.adapter = DetectionAdapter(config)
        self.mask_decoder = MaskDecoder(config)
        self.text_class_head = nn.Linear(config.text_hidden_size, len(CLASSES))
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """The parts initialise themselves when they are built."""

    @property
    def family(self) -> backbones.Family:
        """The backbone's family; looked up, as its functions would not pickle with the model."""
        return backbones.for_config(self.config.backbone_config)

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings of the language model."""
        embeddings: nn.Module = self.backbone.get_input_embeddings()
        return embeddings

    def language_parts(self) -> tuple[nn.Module, ...]:
        """The language model and its two tables of tokens, which may be one."""
        backbone = self.backbone
        return (
            backbone.get_decoder(),
            backbone.get_input_embeddings(),
            backbone.get_output_embeddings(),
        )

    def language_to(self, dtype: torch.dtype) -> None:
        """Puts the weights of the language model in this number format.

        Its buffers keep theirs: rotary frequencies, rounded, would turn later tokens too far.
        """
        for part in self.language_parts():
            for weight in part.parameters():
                weight.data = weight.data.to(dtype)

    def pixels(self, overview: Tensor) -> Tensor:
        """Input of the vision tower, from overviews `[B, 3, h, w]` in 0..255."""
        config = self.config
        side = config.vision_size or self.family.vision_size(config.backbone_config)
        square = vision_input(overview, side, config.image_mean, config.image_std)
        return self.family.patches(config.backbone_config, square)

    def detect(
        self, pixel_values: Tensor, overview: Tensor, tiles: Tensor | None = None
    ) -> Detection:
        """Runs vision tower, adapter and mask decoder.

        Args:
            pixel_values: input of the backbone's vision tower.
            overview: `[B, 3, h, w]` RGB in 0..255, h and w multiples of 16, the same picture.
            tiles: `[B, N, 3, s, s]` native-resolution tiles, RGB in 0..255.
        """
        tokens, states, deeper = self.family.see(self.backbone, pixel_values)
        shallow = [states[i].to(overview.dtype) for i in self.config.shallow_layers]
        found = self.adapter(shallow, overview, tiles)
        return Detection(found, tokens, self.mask_decoder(found.grid, found.fine), deeper)

    def embed(self, input_ids: Tensor, found: Detection) -> Tensor:
        """Token embeddings `[B, L, text_hidden]` with image and evidence tokens in their places.

        A family with `pictures` finds the places of image tokens by their embedding, which stays.
        """
        embeds = self.get_input_embeddings()(input_ids)
        placed = {self.config.evidence_token_id: found.adapter.evidence}
        if self.family.pictures is None:
            placed[self.config.backbone_config.image_token_id] = found.image_tokens
        for token, features in placed.items():
            place = (input_ids == token)[..., None].expand_as(embeds)
            embeds = embeds.masked_scatter(place, features.to(embeds.dtype))
        return torch.as_tensor(embeds)

    def beside(self, input_ids: Tensor, found: Detection) -> dict[str, Any]:
        """What the backbone takes with the embeddings of these tokens."""
        family = self.family
        end = (input_ids == self.config.cls_token_id).int()  # the last token of a question
        question = (end.cumsum(1) - end == 0) & end.any(1, keepdim=True)
        more = family.language_inputs(self.config.backbone_config, input_ids, question)
        pictures = family.pictures(found.image_tokens, found.deeper) if family.pictures else {}
        return more | pictures

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor | None = None,
        overview: Tensor | None = None, labels: Tensor | None = None,
        targets: dict[str, Tensor] | None = None, **_: Any,
    ) -> VlmForensicsOutput:  # fmt: skip
        """One pass over prompts with answers; `targets` as in `losses.detection_loss`.

        `pixel_values` are made of the overview where they are not given.
        """
        assert overview is not None
        pixels = self.pixels(overview) if pixel_values is None else pixel_values
        found = self.detect(pixels, overview)
        # Only answers have labels: logits of the prompt would be most of the memory of a step.
        kept = input_ids.shape[1] if labels is None else _answered(labels)
        out = self.backbone(
            inputs_embeds=self.embed(input_ids, found), attention_mask=attention_mask,
            labels=None if labels is None else labels[:, -kept:], logits_to_keep=kept,
            output_hidden_states=True, **self.beside(input_ids, found),
        )  # fmt: skip
        hidden = out.hidden_states[-1].to(overview.dtype)
        said = self.hidden_at(hidden, input_ids, self.config.cls_token_id)
        text_class = self.text_class_head(said)
        prompt = self.hidden_at(hidden, input_ids, self.config.seg_token_id)
        mask_logits = self.mask_decoder(found.adapter.grid, found.adapter.fine, prompt)
        parts = self._losses(found, out.loss, text_class, mask_logits, targets)
        return VlmForensicsOutput(
            loss=total(parts) if parts else None, logits=out.logits,
            class_logits=found.adapter.class_logits, text_class_logits=text_class,
            mask_logits=mask_logits, parts=parts or None,
        )  # fmt: skip

    def _losses(
        self, found: Detection, language: Tensor | None, text_class: Tensor, mask_logits: Tensor,
        targets: dict[str, Tensor] | None,
    ) -> dict[str, Tensor]:  # fmt: skip
        parts: dict[str, Tensor] = {}
        if language is not None:
            parts["language"] = self.loss_weights["language"] * language
        if targets is not None:
            text_loss = class_loss(text_class, targets["class_labels"])
            parts["text_class"] = self.loss_weights["text_class"] * text_loss
            agreement = consistency_loss(text_class, found.adapter.class_logits)
            parts["consistency"] = self.loss_weights["consistency"] * agreement
            parts |= detection_loss(found.adapter, mask_logits, targets, self.loss_weights)
        return parts

    @staticmethod
    def hidden_at(hidden: Tensor, input_ids: Tensor, token: int) -> Tensor:
        """Sum of the hidden states `[B, D]` where `token` stands; zero where it does not."""
        where = (input_ids == token)[..., None].to(hidden.dtype)
        return (hidden * where).sum(1)

    def hidden_states(
        self, input_ids: Tensor, found: Detection, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Last hidden states `[B, L, text_hidden]` over prompts and answers, float32."""
        seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        out = self.backbone(
            inputs_embeds=self.embed(input_ids, found), attention_mask=seen,
            output_hidden_states=True, **self.beside(input_ids, found),
        )  # fmt: skip
        return torch.as_tensor(out.hidden_states[-1].float())

    @torch.inference_mode()
    def generate_text(
        self, input_ids: Tensor, attention_mask: Tensor, found: Detection, *, max_new_tokens: int
    ) -> Tensor:
        """Greedy continuation `[B, new]` of the prompts."""
        settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max_new_tokens, do_sample=False, repetition_penalty=1.0,
            eos_token_id=self.config.get_text_config().eos_token_id,
            pad_token_id=self.config.get_text_config().eos_token_id,
        )  # fmt: skip
        return self.family.generate(
            self.backbone, inputs_embeds=self.embed(input_ids, found),
            attention_mask=attention_mask, generation_config=settings,
            **self.beside(input_ids, found),
        )  # fmt: skip


def _answered(labels: Tensor) -> int:
    """Positions at the end of `[B, L]` labels that hold all answers, and one before them."""
    first = int((labels != IGNORE).any(0).int().argmax())
    return labels.shape[1] - max(0, first - 1)


AutoConfig.register("vlm_forensics", VlmForensicsConfig)
AutoModel.register(VlmForensicsConfig, VlmForensicsModel)
AutoModelForImageTextToText.register(VlmForensicsConfig, VlmForensicsModel)
