"""Random backbones of a few thousand weights, one builder per family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tiny_models import CLS, EVIDENCE, EVIDENCE_TOKENS, IMAGE, SEG, VOCABULARY, tokenizer
from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from vlm_forensics import backbones
from vlm_forensics.model.config import VlmForensicsConfig
from vlm_forensics.model.modeling import VlmForensicsModel

WIDTH, SIDE, PATCH, TEXT = 32, 56, 14, 32

_TOWER: dict[str, Any] = {
    "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE,
    "patch_size": PATCH, "intermediate_size": 32,
}  # fmt: skip
_TEXT: dict[str, Any] = {
    "hidden_size": TEXT, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 16,
    "num_key_value_heads": 1, "intermediate_size": 32, "vocab_size": VOCABULARY,
    "bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257,
}  # fmt: skip
_QWEN_TOWER = {
    "depth": 2, "hidden_size": WIDTH, "num_heads": 2, "intermediate_size": 32,
    "patch_size": PATCH, "out_hidden_size": TEXT, "spatial_merge_size": 2,
}  # fmt: skip
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}


def _made(kind: str, vision: dict[str, Any], language_type: str, **more: Any) -> PreTrainedConfig:
    tied = {"tie_word_embeddings": True}
    language = {"model_type": language_type, **_TEXT, **tied, **more.pop("text", {})}
    return AutoConfig.for_model(kind, vision_config=vision, text_config=language, **tied, **more)


def _qwen2_5() -> PreTrainedConfig:
    # Windows of one merged block in a picture of 4x4 blocks: the order of windows differs.
    tower = _QWEN_TOWER | {"window_size": 56, "fullatt_block_indexes": [1]}
    return _made("qwen2_5_vl", tower, "qwen2_5_vl_text", image_token_id=IMAGE,
                 video_token_id=2, vision_start_token_id=3, vision_end_token_id=4,
                 text={"rope_parameters": _MROPE})  # fmt: skip


def _qwen3() -> PreTrainedConfig:
    # Both layers of the tower feed a layer of the language model.
    tower = _QWEN_TOWER | {"num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
    return _made("qwen3_vl", tower, "qwen3_vl_text", image_token_id=IMAGE, video_token_id=2,
                 vision_start_token_id=3, vision_end_token_id=4,
                 text={"rope_parameters": _MROPE | {"mrope_interleaved": True}})  # fmt: skip


BUILDERS: dict[str, Callable[[], PreTrainedConfig]] = {
    "llava": lambda: _made("llava", {"model_type": "clip_vision_model", **_TOWER}, "llama",
                           image_token_id=IMAGE, image_seq_length=16),
    "internvl": lambda: _made(
        "internvl", {"model_type": "internvl_vision", **_TOWER, "use_mean_pooling": False},
        "llama", image_token_id=IMAGE, image_seq_length=4, downsample_ratio=0.5),
    "idefics3": lambda: _made("idefics3", {"model_type": "idefics3_vision", **_TOWER}, "llama",
                              image_token_id=IMAGE, scale_factor=2),
    "gemma3": lambda: _made("gemma3", {"model_type": "siglip_vision_model", **_TOWER},
                            "gemma3_text", image_token_index=IMAGE, mm_tokens_per_image=4),
    "paligemma": lambda: _made("paligemma", {"model_type": "siglip_vision_model", **_TOWER,
                                             "projection_dim": TEXT},
                               "gemma", image_token_index=IMAGE, projection_dim=TEXT),
    "qwen2_5_vl": _qwen2_5,
    "qwen3_vl": _qwen3,
}  # fmt: skip
BLOCKS = 8
"""Patches along a side of the picture given to the Qwen towers."""


def image_tokens(config: Any) -> int:
    if config.model_type.startswith("qwen"):
        return (BLOCKS // 2) ** 2
    return backbones.for_config(config).image_tokens(config)


def model_of(family: str) -> VlmForensicsModel:
    torch.manual_seed(0)
    backbone = BUILDERS[family]()
    return VlmForensicsModel(VlmForensicsConfig(
        backbone, shallow_layers=backbones.for_config(backbone).shallow_layers(backbone),
        vision_hidden_size=WIDTH, text_hidden_size=TEXT, adapter_size=16,
        low_level_widths=(4, 4, 8, 8), evidence_tokens=EVIDENCE_TOKENS,
        evidence_token_id=EVIDENCE, cls_token_id=CLS, seg_token_id=SEG,
    ))  # fmt: skip


def inputs_of(model: VlmForensicsModel) -> dict[str, Tensor]:
    """A batch of two prompts with answers, 64x96 overviews."""
    draw = torch.Generator().manual_seed(1)
    config: Any = model.config.backbone_config
    head = [1, *[IMAGE] * image_tokens(config), *[EVIDENCE] * EVIDENCE_TOKENS, CLS, 5, 6]
    ids = torch.tensor([[*head, SEG, 7]] * 2)
    qwen = config.model_type.startswith("qwen")
    shape = (2, BLOCKS**2, 2 * 3 * PATCH**2) if qwen else (2, 3, SIDE, SIDE)
    return {
        "input_ids": ids, "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(shape, generator=draw),
        "overview": torch.rand(2, 3, 64, 96, generator=draw) * 255,
    }  # fmt: skip


_SQUARE = {"height": SIDE, "width": SIDE}
_LONGEST = {"longest_edge": SIDE}
_PICTURES: dict[str, Callable[[], Any]] = {
    "llava": lambda: CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=_SQUARE),
    "internvl": lambda: GotOcr2ImageProcessorPil(size=_SQUARE),
    "idefics3": lambda: Idefics3ImageProcessorPil(size=_LONGEST, max_image_size=_LONGEST),
    "gemma3": lambda: Gemma3ImageProcessorPil(size=_SQUARE),
    "paligemma": lambda: SiglipImageProcessorPil(size=_SQUARE),
    "qwen2_5_vl": Qwen2VLImageProcessorPil,
    "qwen3_vl": Qwen2VLImageProcessorPil,
}
_QWEN_TOKENS = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
_TOKENS = {
    "internvl": ["<IMG_CONTEXT>", "<img>", "</img>"],
    "gemma3": ["<start_of_image>", "<end_of_image>", "<image_soft_token>"],
    "qwen2_5_vl": _QWEN_TOKENS,
    "qwen3_vl": _QWEN_TOKENS,
}


def processor_of(family: str) -> tuple[Any, int]:
    """The family's processor over a byte tokenizer, and the id of its image token."""
    words: Any = tokenizer()
    added = _TOKENS.get(family, ["<image>"])
    words.add_special_tokens({"additional_special_tokens": added})
    image = added[-1] if family == "gemma3" else added[0]
    if family == "gemma3":
        words.boi_token, words.eoi_token, words.image_token = added
        words.boi_token_id = words.convert_tokens_to_ids(words.boi_token)
        words.image_token_id = words.convert_tokens_to_ids(image)
    config = BUILDERS[family]()
    made = backbones.for_config(config).build_processor(_PICTURES[family](), words, config)
    return made, words.convert_tokens_to_ids(image)
