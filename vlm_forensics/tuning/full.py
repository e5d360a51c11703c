"""Full fine-tuning: every weight of the language model moves, and no LoRA is put in."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from vlm_forensics.model.modeling import VlmForensicsModel
    from vlm_forensics.tuning.policy import Policy
    from vlm_forensics.tuning.start import Start


def free(model: VlmForensicsModel) -> None:
    """Lets the language model with its tables train, and nothing else; all of it in float32.

    A step of tuning is often smaller than what bfloat16 can add to a weight. The vision tower
    stays, for the detector reads it and its calibration must hold.
    """
    whole: Any = model  # the stubs know one way of calling `to`
    whole.to(torch.float32).requires_grad_(False)
    for part in model.language_parts():
        part.requires_grad_(True)


def reference(policy: Policy) -> Policy:
    """The policy as it is now, frozen: the model that GRPO measures its distance from.

    It shares every tensor that does not train.
    """
    still = (p for p in (*policy.parameters(), *policy.buffers()) if not p.requires_grad)
    copied: Policy = copy.deepcopy(policy, {id(tensor): tensor for tensor in still})
    return copied.requires_grad_(False).train(False)


def write(start: Start, folder: Path) -> None:
    """A complete model folder, which needs no base; the language model in bfloat16."""
    model: Any = start.model
    model.language_to(torch.bfloat16)
    model.save_pretrained(folder)
    start.text.tokenizer.save_pretrained(folder)
