"""Qwen2.5-VL: a tower with attention in windows, any picture size, three-way positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vlm_forensics.backbones import _qwen
from vlm_forensics.backbones.base import Family, Seen, lora_on, two_shallow


def _see(backbone: Any, pixel_values: Tensor) -> Seen:
    from transformers.vision_utils import get_vision_window_index

    tower = backbone.config.vision_config
    windows, _ = get_vision_window_index(
        _qwen.square_grid(pixel_values), spatial_merge_size=tower.spatial_merge_size,
        window_size=tower.window_size, patch_size=tower.patch_size,
    )  # fmt: skip
    # The tower keeps its hidden states in the order of windows and undoes that at the end only.
    return _qwen.see(backbone, pixel_values, torch.argsort(windows))


FAMILY = Family(
    name="qwen2_5_vl",
    model_types=("qwen2_5_vl",),
    image_tokens=_qwen.image_tokens,
    build_processor=_qwen.processor,
    lora_targets=lora_on("language_model"),
    shallow_layers=lambda config: two_shallow(config.vision_config.depth),
    see=_see,
    placeholder="<|image_pad|>",
    projectors=("model.visual.merger",),
    vision_size=lambda _config: _qwen.SIDE,
    patches=_qwen.patches,
    chat_template=_qwen.CHAT_TEMPLATE,
    language_inputs=_qwen.positions,
)
