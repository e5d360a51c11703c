"""What a run will need, before it is paid for: parameters, memory, tokens, time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from vlm_forensics import assembly
from vlm_forensics.tuning.settings import Grpo, Sft, views_each

_ANSWER, _WORDS = 90, 60
"""Tokens allowed for an answer and a question; most are shorter."""
_STATE = 16
"""Bytes a trained parameter takes: itself, its gradient and Adam's two moments, in float32."""
_ACTIVATION = 34
"""Bytes a token, layer and unit of width keep for backward (Korthikanti et al. 2022), half
precision, attention in blocks; one copy a layer with checkpointing."""


_TUNED = "calibration.json"
"""A folder that holds it has a detector already, so stage A is left out."""
VIEW = 2 * 256 * 256 * (3 + 1)
"""Bytes that a view takes on the disk: pixels and mask, before and after the last JPEG."""


class Estimate(NamedTuple):
    """Orders of magnitude, for one device."""

    parameters: int
    """Of the backbone."""
    trained: int
    """Of LoRA, or of the whole language model."""
    tokens: int
    """Of one sequence."""
    memory: float
    """GiB at the peak."""
    flops: float
    """Of the whole run."""
    views: tuple[int, int]
    """Views that stages A and B keep of each training picture, itself and its changed copies."""

    def hours(self, teraflops: float) -> float:
        """At this sustained speed."""
        return self.flops / (teraflops * 1e12) / 3600


def estimate(settings: Sft | Grpo, *, offline: bool = False) -> Estimate:
    """Reads the model's configuration only; no weights.

    Raises:
        ModelError: there is no such model, or no family serves it.
    """
    backbone = _backbone(settings.model, offline=offline)
    text = backbone.get_text_config()
    full = settings.method == "full"
    parameters, trained = _counts(backbone, None if full else settings.lora.rank)
    tokens = _picture(backbone) + _WORDS + (
        settings.max_tokens if isinstance(settings, Grpo) else _ANSWER
    )  # fmt: skip
    steps = settings.training
    sequences = steps.steps * steps.batch * steps.accumulate
    passes = 3.0 if isinstance(settings, Sft) else 5.0  # sampling, and the reference where kl > 0
    weights = _weights(settings, parameters, trained)
    kept = 1 if steps.checkpointing else _ACTIVATION
    activations = steps.batch * tokens * text.hidden_size * text.num_hidden_layers * kept
    logits = steps.batch * tokens * text.vocab_size * 4
    memory = (weights + trained * _STATE + activations * (1 if _on_gpu() else 2) + logits) / 2**30
    flops = 2 * parameters * tokens * sequences * passes
    return Estimate(parameters, trained, tokens, memory, flops, _views(settings))


def _views(settings: Sft | Grpo) -> tuple[int, int]:
    if isinstance(settings, Grpo):
        return 0, 1
    detects = settings.model == assembly.MINI or (Path(settings.model) / _TUNED).is_file()
    return 0 if detects else views_each(settings.detection.augment), views_each(settings.augment)


def _weights(settings: Sft | Grpo, parameters: int, trained: int) -> float:
    """Bytes of the weights that stay as they are."""
    if settings.method == "full":  # all of it in float32; GRPO measures from a copy of the start
        copied = isinstance(settings, Grpo) and settings.kl > 0
        return 4.0 * (parameters - trained + trained * copied)
    return parameters * (0.6 if settings.lora.four_bit else 2 if _on_gpu() else 4)


def _backbone(name: str, *, offline: bool) -> Any:
    from vlm_forensics.model.config import VlmForensicsConfig
    from vlm_forensics.wrapping import config_of

    if name == assembly.MINI:
        return VlmForensicsConfig.from_pretrained(assembly.shipped()).backbone_config
    if (Path(name) / _TUNED).is_file():
        return VlmForensicsConfig.from_pretrained(name).backbone_config
    return config_of(name, offline=offline)


def _counts(backbone: Any, rank: int | None) -> tuple[int, int]:
    """Parameters of the backbone, and of LoRA on it or, without a rank, of its language model.

    Nothing is allocated.
    """
    import re

    import torch
    from transformers import AutoModelForImageTextToText

    from vlm_forensics import backbones

    with torch.device("meta"):
        build: Any = AutoModelForImageTextToText.from_config
        model = build(backbone)
    total = sum(p.numel() for p in model.parameters())
    if rank is None:
        parts = (model.get_decoder(), model.get_input_embeddings(), model.get_output_embeddings())
        return total, sum(p.numel() for p in {p for part in parts for p in part.parameters()})
    adapted = re.compile(backbones.for_config(backbone).lora_targets)
    layers = [m for name, m in model.named_modules() if adapted.fullmatch(name)]
    sides = sum(layer.weight.shape[0] + layer.weight.shape[1] for layer in layers)
    return total, rank * sides


def _picture(backbone: Any) -> int:
    from vlm_forensics import backbones

    return backbones.for_config(backbone).image_tokens(backbone)


def _on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
