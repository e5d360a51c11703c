"""A plain vision-language model of a supported family, with our parts, untrained, around it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlm_forensics.errors import ModelError

if TYPE_CHECKING:
    from vlm_forensics.model.config import VlmForensicsConfig
    from vlm_forensics.model.modeling import VlmForensicsModel

_PLAIN_PARTS = [
    r".*\.(vision_tower|vision_model|visual|multi_modal_projector|connector)",
    "lm_head",
]
"""Never in 4 bit: the adapter reads the tower, and all of them together are small."""


def wrap(
    name: str, *, four_bit: bool = False, offline: bool = False
) -> tuple[VlmForensicsModel, Any]:
    """The model and its tokenizer, special tokens added; float32 without a GPU.

    Args:
        name: hub id or folder; safetensors only, and no code of the repository is run.
        four_bit: the language model's weights as nf4 (QLoRA, Dettmers et al. 2023).
        offline: never use the network.

    Raises:
        ModelError: there is no such model, or no family serves it.
        WeightsError: its weights cannot be read.
    """
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    from vlm_forensics.engine import loading, quieten
    from vlm_forensics.model.modeling import VlmForensicsModel

    quieten()
    config_of(name, offline=offline)  # refuses what no family serves, before any weight is read
    safe = _safely(offline)
    with loading():
        tokenizer = _tokenizer(AutoTokenizer.from_pretrained(name, **safe))
        backbone = AutoModelForImageTextToText.from_pretrained(
            name, use_safetensors=True, dtype=_dtype(),
            quantization_config=_nf4() if four_bit else None, **safe,
        )  # fmt: skip
        table: Any = backbone.get_input_embeddings()
        if len(tokenizer) > table.num_embeddings:
            backbone.resize_token_embeddings(len(tokenizer))
        _tell_apart(backbone, tokenizer)
        model = VlmForensicsModel(_config(backbone, tokenizer, name, safe), backbone)
    return model, tokenizer


def config_of(name: str, *, offline: bool = False) -> Any:
    """The configuration of a plain model.

    Raises:
        ModelError: there is no such model, or no family serves it.
    """
    from transformers import AutoConfig

    from vlm_forensics import backbones

    try:
        config = AutoConfig.from_pretrained(name, **_safely(offline))
    except (OSError, ValueError) as error:
        raise ModelError("model_not_found", f"there is no model {Path(name).name!r} to tune",
                         hint="give vlmf-mini, a folder, or a hub id of a supported family: "
                         f"{', '.join(backbones.names())}") from error  # fmt: skip
    backbones.for_config(config)
    return config


def _safely(offline: bool) -> dict[str, Any]:
    return {"local_files_only": offline, "trust_remote_code": False}


def _tokenizer(tokenizer: Any) -> Any:
    from vlm_forensics.collate import OWN_TOKENS

    tokenizer.add_special_tokens({"additional_special_tokens": list(OWN_TOKENS)})
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _tell_apart(backbone: Any, tokenizer: Any) -> None:
    """New rows for our tokens where the table's padding gave them rows that are alike.

    Classes that put image tokens in place themselves find the places by the image token's row.
    """
    import torch

    from vlm_forensics.collate import OWN_TOKENS

    own = tokenizer.convert_tokens_to_ids(list(OWN_TOKENS))
    for table in (backbone.get_input_embeddings(), backbone.get_output_embeddings()):
        rows = table.weight.detach()
        known = rows[[backbone.config.image_token_id, *own]]
        if len(known.unique(dim=0)) < len(known):
            draw = torch.Generator().manual_seed(0)  # the same when a LoRA is put on them later
            noise = torch.randn(len(own), rows.shape[1], generator=draw).to(rows)
            rows[own] = rows.mean(0) + noise * rows.std()


def _dtype() -> Any:
    import torch

    return "auto" if torch.cuda.is_available() else torch.float32


def _nf4() -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    build: Any = BitsAndBytesConfig
    return build(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
        llm_int8_skip_modules=_PLAIN_PARTS,
    )  # fmt: skip


def _config(backbone: Any, tokenizer: Any, name: str, safe: dict[str, Any]) -> VlmForensicsConfig:
    from vlm_forensics import backbones
    from vlm_forensics.collate import OWN_TOKENS
    from vlm_forensics.model.config import VlmForensicsConfig

    family = backbones.for_config(backbone.config)
    evidence, cls, seg = tokenizer.convert_tokens_to_ids(list(OWN_TOKENS))
    mean, std = _statistics(name, safe)
    return VlmForensicsConfig(
        backbone.config, shallow_layers=family.shallow_layers(backbone.config),
        vision_hidden_size=backbone.config.vision_config.hidden_size,
        text_hidden_size=backbone.config.get_text_config().hidden_size,
        evidence_token_id=evidence, cls_token_id=cls, seg_token_id=seg,
        image_mean=mean, image_std=std, free_answers=True,
    )  # fmt: skip


def _statistics(name: str, safe: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the tower's input, from the model's image processor."""
    from transformers.image_processing_base import ImageProcessingMixin

    from vlm_forensics.model.inputs import MEAN, STD

    read: Any = ImageProcessingMixin.get_image_processor_dict
    try:
        values, _ = read(name, **safe)
    except OSError:  # a model saved without one
        return MEAN, STD
    return tuple(values.get("image_mean", MEAN)), tuple(values.get("image_std", STD))
