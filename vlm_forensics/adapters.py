"""The small form of a tuned model: LoRA, our parts and the name of what they stand on.

    config.json  base.json  lora/  trained.safetensors  tokenizer files  calibration.json  …

`assembly` turns it into a complete folder once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlm_forensics.errors import ModelError, WeightsError

if TYPE_CHECKING:
    from vlm_forensics.model.config import VlmForensicsConfig
    from vlm_forensics.model.modeling import VlmForensicsModel

BASE = "base.json"
LORA = "lora"
TRAINED = "trained.safetensors"
"""Trained tensors outside LoRA, by their name in the assembled model."""
OWN_PARTS = ("adapter.", "mask_decoder.", "text_class_head.")
WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"


def trained_parts(config: VlmForensicsConfig) -> tuple[str, ...]:
    """Names of what `TRAINED` holds, all of it: our parts and the family's projectors."""
    return (*OWN_PARTS, *projectors(config))


def projectors(config: VlmForensicsConfig) -> tuple[str, ...]:
    """How names of the tensors between tower and language model begin in the assembled model."""
    from vlm_forensics import backbones

    family = backbones.for_config(config.backbone_config)
    return tuple(f"backbone.{name}." for name in family.projectors)


def plain_name(name: str) -> str:
    """A parameter's name in the assembled model, without peft's wrapper."""
    return name.replace("backbone.base_model.model.", "backbone.")


def base_of(folder: Path) -> str | None:
    """What a folder's LoRA stands on: the built-in model, a folder or a hub id; None if unsaid.

    Raises:
        ModelError: the file is damaged.
    """
    path = folder / BASE
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_text("utf-8"))["model"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError("model_config_invalid", f"{BASE} of {folder.name} names no model",
                         hint="export the model again") from error  # fmt: skip


def write(model: VlmForensicsModel, tokenizer: Any, base: str, out: Path) -> None:
    """Writes a model whose backbone carries a LoRA, or none, in the small form.

    Args:
        model: the tuned model; its backbone may be a `PeftModel`.
        tokenizer: its tokenizer.
        base: what the LoRA stands on.
        out: the folder.
    """
    write_parts(model, out)
    tokenizer.save_pretrained(out)
    (out / BASE).write_text(json.dumps({"model": base}, indent=1) + "\n", encoding="utf-8")


def write_parts(model: VlmForensicsModel, out: Path) -> None:
    """Configuration, LoRA and trained tensors, for a reader who knows the base."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(out)
    backbone: Any = model.backbone
    if hasattr(backbone, "peft_config"):
        backbone.save_pretrained(out / LORA, save_embedding_layers=False)
        (out / LORA / "README.md").unlink(missing_ok=True)  # peft's empty form of a model card
    parts, kept = trained_parts(model.config), {}
    for name, value in model.state_dict().items():
        plain = plain_name(name)
        if plain.startswith(parts):
            kept[plain] = value.detach().cpu().contiguous()
    save_file(kept, out / TRAINED)


def rebuild(folder: Path, base: VlmForensicsModel) -> VlmForensicsModel:
    """The model in a folder of the small form, LoRA merged.

    Raises:
        WeightsError: a file cannot be read, or does not fit the base.
    """
    from peft import PeftModel
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        put_trained(base, load_file(folder / TRAINED))
        if (folder / LORA / WEIGHTS).is_file():
            peft: Any = PeftModel.from_pretrained(base.backbone, folder / LORA)
            base.backbone = peft.merge_and_unload()
    except (SafetensorError, OSError, RuntimeError) as error:
        raise WeightsError("weights_corrupt", f"the adapter of {folder.name} cannot be read",
                           hint="export it again, and keep its base model") from error  # fmt: skip
    return base


def put_trained(model: VlmForensicsModel, state: Mapping[str, Any]) -> None:
    """Copies trained tensors in.

    Raises:
        WeightsError: a tensor does not fit the model.
    """
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError:  # a tensor of another shape
        missing, unexpected = [], list(state)
    lacking = [name for name in missing if name.startswith(trained_parts(model.config))]
    if wrong := len(unexpected) + len(lacking):
        hint = "the folder belongs to another version of vlm_forensics"
        raise WeightsError(
            "weights_corrupt", f"{wrong} trained tensors do not fit the model", hint=hint
        )


def save_policy(peft: Any, out: Path) -> None:
    """Writes the LoRA of GRPO's policy with the names it has on the backbone alone."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    state = {re.sub(r"^base_model\.model\.reader\.model\.backbone\.", "base_model.model.", name):
             value.detach().cpu().contiguous()
             for name, value in get_peft_model_state_dict(peft).items()}  # fmt: skip
    save_file(state, out / WEIGHTS)
    settings = peft.peft_config["default"].to_dict()
    (out / _CONFIG).write_text(_plain_json(settings), encoding="utf-8")


def join(first: Path, second: Path, out: Path) -> None:
    """One LoRA that adds what two add; ranks sum, and rows of tokens are the last trained.

    `B1 A1 s1 + B2 A2 s2 = [B1 s1, B2 s2] [A1; A2]`: exact, unlike adding their factors.
    """
    import torch
    from safetensors.torch import load_file, save_file

    states = [load_file(folder / WEIGHTS) for folder in (first, second)]
    settings = [json.loads((folder / _CONFIG).read_text("utf-8")) for folder in (first, second)]
    scales = [one["lora_alpha"] / one["r"] for one in settings]
    joined = states[0] | states[1]
    for name in {**states[0], **states[1]}:
        pair = [(state[name].float(), scale) for state, scale in zip(states, scales, strict=True)
                if name in state]  # fmt: skip
        if name.endswith("lora_A.weight"):
            joined[name] = torch.cat([value for value, _ in pair], 0)
        elif name.endswith("lora_B.weight"):
            joined[name] = torch.cat([value * scale for value, scale in pair], 1)
    rank = sum(one["r"] for one in settings)
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in joined.items()}, out / WEIGHTS)
    both = settings[0] | {"r": rank, "lora_alpha": rank}
    (out / _CONFIG).write_text(_plain_json(both), encoding="utf-8")


def _plain_json(values: dict[str, Any]) -> str:
    def shown(value: Any) -> Any:
        return sorted(value) if isinstance(value, set) else str(value)

    return json.dumps(values, indent=1, sort_keys=True, default=shown) + "\n"
