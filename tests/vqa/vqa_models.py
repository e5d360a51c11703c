"""Folders as a user would have them, with tiny random models of every supported family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STOCK = {
    "llava": "LlavaProcessor", "internvl": "InternVLProcessor", "idefics3": "Idefics3Processor",
    "gemma3": "Gemma3Processor", "paligemma": "PaliGemmaProcessor",
    "qwen2_5_vl": "Qwen2_5_VLProcessor",
}  # fmt: skip


def save(family: str, folder: Path) -> Path:
    """A complete model folder whose processor names the stock class, as published ones do."""
    import torch
    from tiny_families import BUILDERS, processor_of
    from transformers import AutoModelForImageTextToText

    torch.manual_seed(0)
    processor, image = processor_of(family)
    config = BUILDERS[family]()
    _widen(config, len(processor.tokenizer), image)
    model = AutoModelForImageTextToText.from_config(config)
    for name, weight in model.named_parameters():
        if "mm_input_projection" in name:  # Gemma 3 begins it at zero, which hides every picture
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    _edit(folder / "processor_config.json", processor_class=STOCK[family])
    if family == "gemma3":
        tokens = ("<start_of_image>", "<end_of_image>", "<image_soft_token>")
        named = dict(zip(("boi_token", "eoi_token", "image_token"), tokens, strict=True))
        _edit(folder / "tokenizer_config.json", model_specific_special_tokens=named, **named)
    return folder


def _widen(config: Any, vocabulary: int, image: int) -> None:
    """The processor's extra tokens need rows, and its image token is the one looked for."""
    config.get_text_config().vocab_size = vocabulary
    name = "image_token_index" if hasattr(config, "image_token_index") else "image_token_id"
    setattr(config, name, image)


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
