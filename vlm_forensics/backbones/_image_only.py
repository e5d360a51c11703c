"""Processors without their video part, which needs torchvision."""

from __future__ import annotations

import re
from typing import Any

from PIL import Image
from transformers import ProcessorMixin
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor

from vlm_forensics.backbones._qwen import SIDE

_without_video: Any = ProcessorMixin.__init__
"""The stock constructors between ask for a video processor."""


class Qwen(Qwen2_5_VLProcessor):
    """Pictures of both Qwens, made square first: the detection adapter reads a square grid."""

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None,
        **_: Any,
    ) -> None:  # fmt: skip
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        _without_video(self, image_processor, tokenizer, chat_template=chat_template)

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> Any:
        """As the stock processor, with every picture `SIDE` pixels square."""
        given = images if isinstance(images, list) else [images]
        square = [picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for picture in given]
        return super().__call__(images=square, text=text, **options)


class InternVL(InternVLProcessor):
    """Pictures of InternVL."""

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, image_seq_length: int = 256,
        chat_template: Any = None, **_: Any,
    ) -> None:  # fmt: skip
        _without_video(self, image_processor, tokenizer, chat_template=chat_template)
        self.image_seq_length = image_seq_length
        self.image_token, self.start_image_token = "<IMG_CONTEXT>", "<img>"
        self.end_image_token, self.video_token = "</img>", "<video>"
        self.image_token_id, self.start_image_token_id, self.end_image_token_id = (
            tokenizer.convert_tokens_to_ids(
                [self.image_token, self.start_image_token, self.end_image_token]
            )
        )
        self.multimodal_pattern = re.compile(f"(?P<image>{re.escape(self.image_token)})")

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> Any:
        """As the stock processor, without crops: they have no place on the adapter's grid."""
        return super().__call__(images=images, text=text, **{"crop_to_patches": False} | options)
