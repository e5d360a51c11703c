"""Seconds of a GRPO pass of the built-in model, and without each of two savings.

    python benchmarks/grpo_speed.py [--prompts 2] [--group 8] [--repeat 3]

The pass scores the answers of several prompts with gradients for a LoRA, as a step of
`vlmf train grpo` does: prompts are read once a group, and only scored tokens go through the head.
The ways alternate.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import statistics
import time
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from peft import inject_adapter_in_model
from trl import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

from vlm_forensics.assembly import MINI
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.tuning import groups, scorecard, sft
from vlm_forensics.tuning import start as starting
from vlm_forensics.tuning.policy import Policy
from vlm_forensics.tuning.settings import Lora
from vlm_forensics.tuning.trainer import AnswerTrainer

PROMPT = ("tampered 64%, copy move at 49 36 69 62",
          "resampling trace 0.4x inside, noise 0.5x inside, copy move 1.11")  # fmt: skip
ANSWER = 30
"""Tokens; what the built-in model usually writes."""


def batch(start: Any, prompts: int, group: int) -> tuple[torch.Tensor, ...]:
    """Ids, attention and pictures of `prompts` groups of answers of random tokens."""
    rng = np.random.default_rng(0)
    pictures = to_tensor(rng.integers(0, 256, (prompts, 256, 256, 3), np.uint8))
    row = start.text.prompt_ids(*PROMPT)
    ids, mask = scorecard.left_padded([row] * (prompts * group), start.text.tokenizer.pad_token_id)
    answers = torch.from_numpy(rng.integers(1000, 9000, (len(ids), ANSWER)))
    return (torch.cat([ids, answers], 1), torch.cat([mask, torch.ones_like(answers)], 1),
            pictures.repeat_interleave(group, 0))  # fmt: skip


def seconds(policy: Policy, inputs: tuple[torch.Tensor, ...], way: type[Any]) -> float:
    """One forward and backward pass, scored in this trainer's way."""
    ids, mask, pictures = inputs
    trainer = object.__new__(AnswerTrainer)  # all that a pass needs of one
    trainer.accelerator = SimpleNamespace(autocast=nullcontext, is_main_process=True)
    start = time.perf_counter()
    scored, *_ = way._get_per_token_logps_and_entropies(
        trainer, policy, ids, mask, ANSWER, pixel_values=pictures, num_images=[1] * len(ids)
    )
    scored.sum().backward()
    return time.perf_counter() - start


def main() -> None:
    """Prints medians of the ways and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    start = starting.load(MINI, frozen=True)
    start.model.requires_grad_(False)
    lora = sft.lora_config(start, Lora(rank=8, dropout=0.0))
    inject_adapter_in_model(lora, start.model.backbone)
    policy = Policy(start.model)
    add_fused_lm_head(policy, outputs=("log_probs", "entropy"))
    inputs = batch(start, options.prompts, options.group)
    seconds(policy, inputs, AnswerTrainer)
    found: list[tuple[float, float, float]] = []
    for _ in range(options.repeat):
        both = seconds(policy, inputs, AnswerTrainer)
        with mock.patch.object(groups, "common", return_value=0):
            alone = seconds(policy, inputs, AnswerTrainer)
        found.append((both, alone, seconds(policy, inputs, GRPOTrainer)))
    names = ("as it is", "prompts read once an answer", "every token through the head")
    for n, name in enumerate(names):
        ratio = statistics.median(row[n] / row[0] for row in found)
        print(f"{name}: {statistics.median(row[n] for row in found):.2f} s, {ratio:.2f} times")


if __name__ == "__main__":
    main()
