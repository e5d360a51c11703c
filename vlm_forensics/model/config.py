"""Configuration of the assembled model: any image-text backbone plus our detection parts."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig


class VlmForensicsConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """What `VlmForensicsModel` is made of.

    Args:
        backbone_config: configuration of an `AutoModelForImageTextToText` model.
        shallow_layers: hidden states of the vision tower the adapter reads (0 = embeddings).
        vision_hidden_size: width of those hidden states.
        text_hidden_size: width of the language model.
        adapter_size: width of the adapter.
        low_level_widths: channels of the low-level stream at strides 2, 4, 8 and 16.
        evidence_tokens: K, tokens the adapter puts after the image tokens.
        evidence_token_id: placeholder of the evidence tokens in the prompt.
        cls_token_id: `[CLS]`, whose hidden state feeds the text-side class head.
        seg_token_id: `[SEG]`, whose hidden state prompts the mask decoder.
        vision_size: side of the square picture given to the tower; None for the family's own.
        image_mean: of the tower's input, shares of 255; ImageNet's by default, as `image_std`.
        image_std: see there.
        free_answers: the language model writes whole answers; else it ends the lines of an outline.
    """

    model_type = "vlm_forensics"
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": AutoConfig}

    def __init__(  # noqa: PLR0913 - one name per entry of config.json
        self,
        backbone_config: PreTrainedConfig | dict[str, Any] | None = None,
        *,
        shallow_layers: tuple[int, ...] = (4, 8),
        vision_hidden_size: int = 384,
        text_hidden_size: int = 576,
        adapter_size: int = 192,
        low_level_widths: tuple[int, ...] = (24, 48, 96, 160),
        evidence_tokens: int = 8,
        evidence_token_id: int = 0,
        cls_token_id: int = 0,
        seg_token_id: int = 0,
        vision_size: int | None = None,
        image_mean: tuple[float, ...] = (0.485, 0.456, 0.406),
        image_std: tuple[float, ...] = (0.229, 0.224, 0.225),
        free_answers: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(backbone_config, dict):
            backbone_config = AutoConfig.for_model(**backbone_config)
        self.backbone_config: Any = backbone_config
        self.shallow_layers = tuple(shallow_layers)
        self.vision_hidden_size = vision_hidden_size
        self.text_hidden_size = text_hidden_size
        self.adapter_size = adapter_size
        self.low_level_widths = tuple(low_level_widths)
        self.evidence_tokens = evidence_tokens
        self.evidence_token_id = evidence_token_id
        self.cls_token_id = cls_token_id
        self.seg_token_id = seg_token_id
        self.vision_size = vision_size
        self.image_mean = tuple(image_mean)
        self.image_std = tuple(image_std)
        self.free_answers = free_answers
        super().__init__(**kwargs)

    @property
    def image_token_id(self) -> int:
        """The backbone's, under the name that trainers look for."""
        found: int = self.backbone_config.image_token_id
        return found

    def get_text_config(self, *args: Any, **kwargs: Any) -> PreTrainedConfig:
        """The language model's configuration, which generation reads."""
        if self.backbone_config is None:
            return self
        found: PreTrainedConfig = self.backbone_config.get_text_config(*args, **kwargs)
        return found
