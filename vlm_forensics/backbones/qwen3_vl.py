"""Qwen3-VL: features of shallower tower layers go into the first layers of the language model.

DeepStack (Meng et al. 2024, arXiv 2406.04334). Embeddings cannot carry these features, so the class
gets image tokens and features as what its own tower would have given, and puts both in place.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vlm_forensics.backbones import _qwen
from vlm_forensics.backbones.base import Family, lora_on, two_shallow


def _pictures(tokens: Tensor, deeper: tuple[Tensor, ...]) -> dict[str, Any]:
    from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

    build: Any = BaseModelOutputWithDeepstackFeatures
    seen = build(pooler_output=tokens.unbind(), deepstack_features=[one.unbind() for one in deeper])
    # Generation hands this to the first pass alone: later ones find its traces in the cache.
    return {"mm_encoder_outputs": {"image": seen}}


FAMILY = Family(
    name="qwen3_vl",
    model_types=("qwen3_vl",),
    image_tokens=_qwen.image_tokens,
    build_processor=_qwen.processor,
    lora_targets=lora_on("language_model"),
    shallow_layers=lambda config: two_shallow(config.vision_config.depth),
    see=_qwen.see,
    placeholder="<|image_pad|>",
    projectors=("model.visual.merger", "model.visual.deepstack_merger_list"),
    vision_size=lambda _config: _qwen.SIDE,
    patches=_qwen.patches,
    chat_template=_qwen.CHAT_TEMPLATE,
    language_inputs=_qwen.positions,
    pictures=_pictures,
)
