"""Random models of a few thousand weights, one builder per backbone family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    InternVLConfig,
    InternVLVisionConfig,
    LlamaConfig,
    LlavaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

from vlm_forensics.backbones.mini import SPECIAL_TOKENS
from vlm_forensics.model.config import VlmForensicsConfig
from vlm_forensics.model.modeling import VlmForensicsModel

TURN = ("<|im_start|>", "<|im_end|>")
VOCABULARY = 256 + len(TURN) + len(SPECIAL_TOKENS)
IMAGE, EVIDENCE, CLS, SEG = range(VOCABULARY - len(SPECIAL_TOKENS), VOCABULARY)
LAYERS = (1, 3)
EVIDENCE_TOKENS = 2
SIDE = 56
WIDTH = 32

_TOWER: dict[str, Any] = {
    "hidden_size": WIDTH, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": SIDE,
    "patch_size": 14, "intermediate_size": 64,
}  # fmt: skip


def _language() -> LlamaConfig:
    return LlamaConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=64, vocab_size=VOCABULARY, tie_word_embeddings=True,
        bos_token_id=256, eos_token_id=257, pad_token_id=257,
    )  # fmt: skip


def internvl() -> InternVLConfig:
    """The family of the built-in default; the pixel shuffle leaves 4 image tokens."""
    return InternVLConfig(
        vision_config=InternVLVisionConfig(**_TOWER, attention_bias=True, use_mean_pooling=False),
        text_config=_language(), image_token_id=IMAGE, downsample_ratio=0.5, image_seq_length=4,
        vision_feature_layer=LAYERS[-1],
    )  # fmt: skip


def llava() -> LlavaConfig:
    """CLIP features of every patch: 16 image tokens."""
    return LlavaConfig(
        vision_config=CLIPVisionConfig(**_TOWER), text_config=_language(), image_token_id=IMAGE,
        image_seq_length=16, vision_feature_layer=-2,
    )  # fmt: skip


FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {"internvl": internvl, "llava": llava}


def config_of(backbone: PreTrainedConfig) -> VlmForensicsConfig:
    return VlmForensicsConfig(
        backbone, shallow_layers=LAYERS, vision_hidden_size=WIDTH, text_hidden_size=48,
        adapter_size=32, low_level_widths=(4, 8, 8, 16), evidence_tokens=EVIDENCE_TOKENS,
        evidence_token_id=EVIDENCE, cls_token_id=CLS, seg_token_id=SEG,
    )  # fmt: skip


def model_of(family: str = "internvl", seed: int = 0) -> VlmForensicsModel:
    torch.manual_seed(seed)
    return VlmForensicsModel(config_of(FAMILIES[family]()))


def image_tokens(model: VlmForensicsModel) -> int:
    return int(model.config.backbone_config.image_seq_length)


def inputs_of(model: VlmForensicsModel, *, seg: bool = True, seed: int = 1) -> dict[str, Tensor]:
    """A batch of two prompts with answers, 64x96 overviews."""
    draw = torch.Generator().manual_seed(seed)
    head = [1, *[IMAGE] * image_tokens(model), *[EVIDENCE] * EVIDENCE_TOKENS, CLS, 5, 6]
    ids = torch.tensor([[*head, SEG if seg else 8, 7]] * 2)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(2, 3, SIDE, SIDE, generator=draw),
        "overview": torch.rand(2, 3, 64, 96, generator=draw) * 255,
    }


def targets_of() -> dict[str, Tensor]:
    masks = torch.zeros(2, 64, 96, dtype=torch.bool)
    masks[1, 16:40, 20:70] = True
    return {
        "class_labels": torch.tensor([0, 2]),
        "operation_labels": torch.tensor([-100, 1]),
        "masks": masks,
        "mask_known": torch.tensor([True, True]),
    }


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    made.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    found = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=TURN[0], eos_token=TURN[1], pad_token=TURN[1]
    )
    found.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS)})
    return found


def save(model: VlmForensicsModel, folder: Path) -> None:
    """What a user would have: a complete model folder with its tokenizer."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
