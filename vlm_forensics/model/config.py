"""Configuration of the assembled model: any image-text backbone plus our detection parts."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig

from vlm_forensics.taxonomy import Label, Operation

CLASSES: tuple[Label, ...] = (Label.REAL, Label.SYNTHETIC, Label.TAMPERED)
"""Order of the class logits."""
OPERATIONS: tuple[Operation, ...] = (
    Operation.SPLICE,
    Operation.COPY_MOVE,
    Operation.INPAINTING,
    Operation.BLENDING,
    Operation.LOCAL_SUPER_RESOLUTION,
    Operation.LOCAL_AUTOENCODER,
    Operation.WHOLE_SUPER_RESOLUTION,
    Operation.WHOLE_AUTOENCODER,
    Operation.FULL_GENERATION,
)
"""Order of the operation logits. Trained weights depend on it: the forge may learn operations
that no head tells apart, so this is not the whole taxonomy."""


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
        **kwargs: Any,
    ) -> None:
        if isinstance(backbone_config, dict):
            backbone_config = AutoConfig.for_model(**backbone_config)
        self.backbone_config = backbone_config
        self.shallow_layers = tuple(shallow_layers)
        self.vision_hidden_size = vision_hidden_size
        self.text_hidden_size = text_hidden_size
        self.adapter_size = adapter_size
        self.low_level_widths = tuple(low_level_widths)
        self.evidence_tokens = evidence_tokens
        self.evidence_token_id = evidence_token_id
        self.cls_token_id = cls_token_id
        self.seg_token_id = seg_token_id
        super().__init__(**kwargs)

    def get_text_config(self, *args: Any, **kwargs: Any) -> PreTrainedConfig:
        """The language model's configuration, which generation reads."""
        if self.backbone_config is None:
            return self
        return self.backbone_config.get_text_config(*args, **kwargs)
