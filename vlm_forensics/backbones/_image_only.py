"""Processors without their video part, which needs torchvision."""

from __future__ import annotations

from typing import Any

from PIL import Image
from transformers import ProcessorMixin
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor

from vlm_forensics.backbones._qwen import SIDE


class Qwen(Qwen2_5_VLProcessor):  # type: ignore[no-untyped-call,misc]
    """Pictures of Qwen2.5-VL, made square first: the detection adapter reads a square grid."""

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None,
        **_: Any,
    ) -> None:  # fmt: skip
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> Any:
        """As the stock processor, with every picture `SIDE` pixels square."""
        given = images if isinstance(images, list) else [images]
        square = [picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for picture in given]
        return super().__call__(images=square, text=text, **options)


class InternVL(InternVLProcessor):  # type: ignore[no-untyped-call,misc]
    """Pictures of InternVL."""

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, image_seq_length: int = 256,
        chat_template: Any = None, **_: Any,
    ) -> None:  # fmt: skip
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
        self.image_seq_length = image_seq_length
        self.image_token = "<IMG_CONTEXT>"
        self.start_image_token, self.end_image_token = "<img>", "</img>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.image_ids = [self.image_token_id]
