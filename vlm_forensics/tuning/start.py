"""The model that a run starts from: ours with its detector, or a plain vision-language model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vlm_forensics import assembly
from vlm_forensics.calibration import Calibration
from vlm_forensics.collate import TextInputs
from vlm_forensics.engine import loading, quieten
from vlm_forensics.errors import ModelError
from vlm_forensics.features.reference import Reference
from vlm_forensics.model.modeling import VlmForensicsModel
from vlm_forensics.model.precision import bfloat16_pays
from vlm_forensics.wrapping import wrap


@dataclass
class Start:
    """What a run begins with."""

    model: VlmForensicsModel
    text: TextInputs
    calibration: Calibration | None = None
    """None for a backbone whose detection adapter has not been trained yet."""
    reference: Reference | None = None

    @property
    def detects(self) -> bool:
        """The detection adapter is trained and calibrated."""
        return self.calibration is not None


def load(
    name: str, *, four_bit: bool = False, frozen: bool = False, offline: bool = False
) -> Start:  # fmt: skip
    """The model of this name on the device at hand, told to write whole answers.

    Args:
        name: the built-in model, a folder of ours, or hub id or folder of a supported family.
        four_bit: the language model's base weights in nf4.
        frozen: the language model's own weights will not train, so they are in bfloat16 where
            that is quicker, as when the tuned model is used; a LoRA on them stays in float32.
        offline: fetch nothing.

    Raises:
        ModelError: there is no such model, or no family serves it.
        WeightsError: weights are missing or damaged.
    """
    ours = name == assembly.MINI or (Path(name) / "calibration.json").is_file()
    if ours and four_bit:
        raise ModelError("model_unsupported", "a tuned model is merged and not loaded in 4 bit",
                         hint="leave lora.four_bit out, or start from the plain model")  # fmt: skip
    found = _ours(name, offline=offline) if ours else _plain(name, four_bit, offline)
    found.model.config.free_answers = True
    if not four_bit:  # what bitsandbytes has loaded is in its place
        model: Any = found.model
        if frozen and bfloat16_pays():
            model.language_to(torch.bfloat16)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    return found


def _ours(name: str, *, offline: bool) -> Start:
    from transformers import AutoTokenizer

    quieten()
    folder = assembly.model_folder(name, offline=offline)
    with loading():
        model = VlmForensicsModel.from_pretrained(folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    return Start(model, TextInputs.of(tokenizer, model.config),
                 Calibration.load(folder / "calibration.json"),
                 Reference.load(folder / "reference.json"))  # fmt: skip


def _plain(name: str, four_bit: bool, offline: bool) -> Start:
    model, tokenizer = wrap(name, four_bit=four_bit, offline=offline)
    return Start(model, TextInputs.of(tokenizer, model.config))
