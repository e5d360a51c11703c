"""Folders as a user would have them, with tiny random models of every supported family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STOCK = {
    "llava": "LlavaProcessor", "internvl": "InternVLProcessor", "idefics3": "Idefics3Processor",
    "gemma3": "Gemma3Processor", "paligemma": "PaliGemmaProcessor",
    "qwen2_5_vl": "Qwen2_5_VLProcessor", "qwen3_vl": "Qwen3VLProcessor",
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


def save_parrot(answer: str, folder: Path) -> Path:
    """A LLaVA that says one thing, whatever it is asked: weights set by hand, nothing trained.

    The answer is one token. Without its layers the model maps each token to the next: every token
    to the answer, and the answer to the end.
    """
    import torch
    from tiny_families import BUILDERS, processor_of
    from transformers import AutoModelForImageTextToText

    from vlm_forensics.backbones.llava import FAMILY

    processor, image = processor_of("llava")
    processor.tokenizer.add_tokens([answer])
    config: Any = BUILDERS["llava"]()
    _widen(config, len(processor.tokenizer), image)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = False
    model: Any = AutoModelForImageTextToText.from_config(config)
    said, end = len(processor.tokenizer) - 1, processor.tokenizer.eos_token_id
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        for part in (*model.model.multi_modal_projector.parameters(),
                     model.get_input_embeddings().weight, model.lm_head.weight):  # fmt: skip
            part.zero_()
        model.get_input_embeddings().weight[:, 0] = model.lm_head.weight[said, 0] = 1
        model.get_input_embeddings().weight[said] = model.lm_head.weight[end] = torch.eye(32)[1]
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(FAMILY.chat_template)
    return folder


def _widen(config: Any, vocabulary: int, image: int) -> None:
    """The processor's extra tokens need rows, and its image token is the one looked for."""
    config.get_text_config().vocab_size = vocabulary
    name = "image_token_index" if hasattr(config, "image_token_index") else "image_token_id"
    setattr(config, name, image)


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
