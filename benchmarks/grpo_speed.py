"""Seconds of a GRPO pass of the built-in model, prompts read once a group or once an answer.

    python benchmarks/grpo_speed.py [--prompts 2] [--group 8] [--repeat 3]

The pass scores the answers of several prompts with gradients for a LoRA, as a step of
`vlmf train grpo` does; both ways alternate.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import statistics
import time
from typing import Any
from unittest import mock

import numpy as np
import torch
from peft import inject_adapter_in_model

from vlm_forensics.assembly import MINI
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.tuning import groups, scorecard, sft
from vlm_forensics.tuning import start as starting
from vlm_forensics.tuning.settings import Lora

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


def seconds(model: Any, inputs: tuple[torch.Tensor, ...]) -> float:
    """One forward and backward pass."""
    start = time.perf_counter()
    groups.hidden_states(model, *inputs).square().mean().backward()
    return time.perf_counter() - start


def main() -> None:
    """Prints medians of both ways and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    start = starting.load(MINI)
    start.model.requires_grad_(False)
    lora = sft.lora_config(start, Lora(rank=8, dropout=0.0))
    inject_adapter_in_model(lora, start.model.backbone)
    inputs = batch(start, options.prompts, options.group)
    found: dict[str, list[float]] = {"once a group": [], "once an answer": []}
    seconds(start.model, inputs)
    for _ in range(options.repeat):
        found["once a group"].append(seconds(start.model, inputs))
        with mock.patch.object(groups, "common", return_value=0):
            found["once an answer"].append(seconds(start.model, inputs))
    for name, values in found.items():
        print(f"prompts read {name}: {statistics.median(values):.2f} s")
    ratio = statistics.median(a / b for a, b in zip(*found.values(), strict=True))
    print(f"ratio: {ratio:.2f}")


if __name__ == "__main__":
    main()
