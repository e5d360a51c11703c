"""The sizes that adapter and mask decoder are built from."""

from __future__ import annotations

from typing import Protocol


class DetectionSizes(Protocol):
    """Part of `VlmForensicsConfig`, without the import of transformers that a config needs."""

    shallow_layers: tuple[int, ...]
    vision_hidden_size: int
    text_hidden_size: int
    adapter_size: int
    low_level_widths: tuple[int, ...]
    evidence_tokens: int
