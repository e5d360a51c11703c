"""Prompts and answers to token batches for the assembled model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vlm_forensics import prompts
from vlm_forensics.backbones.mini import IMAGE_TOKENS, SPECIAL_TOKENS
from vlm_forensics.model.losses import IGNORE


@dataclass(frozen=True)
class TextInputs:
    """Builds token ids around image and evidence placeholders.

    Args:
        tokenizer: with the special tokens added and a chat template.
        image_tokens: how many the backbone makes of a picture.
        evidence_tokens: K of the adapter.
    """

    tokenizer: Any
    image_tokens: int
    evidence_tokens: int

    def prompt_ids(self, judged: str, measured: str) -> list[int]:
        """Ids of the user turn with what heads and features say, up to where the answer begins."""
        image, evidence, cls, _ = SPECIAL_TOKENS
        content = prompts.load(prompts.EXPLAIN).render(
            image=image * self.image_tokens, evidence=evidence * self.evidence_tokens,
            judged=judged, measured=measured, cls=cls,
        )  # fmt: skip
        text = f"<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def batch(
        self, judged: Sequence[str], measured: Sequence[str], answers: Sequence[str]
    ) -> dict[str, Tensor]:
        """Right-padded `input_ids`, `attention_mask` and `labels` (answer tokens only)."""
        rows, labels = [], []
        for heads, clues, answer in zip(judged, measured, answers, strict=True):
            prompt = self.prompt_ids(heads, clues)
            ending = self.tokenizer(f"{answer}<|im_end|>", add_special_tokens=False)["input_ids"]
            rows.append(prompt + ending)
            labels.append([IGNORE] * len(prompt) + ending)
        width = max(map(len, rows))
        return {
            "input_ids": _padded(rows, width, self.tokenizer.pad_token_id),
            "attention_mask": _padded([[1] * len(row) for row in rows], width, 0),
            "labels": _padded(labels, width, IGNORE),
        }


def _padded(rows: Sequence[Sequence[int]], width: int, fill: int) -> Tensor:
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


def mini_text_inputs(tokenizer: Any, evidence_tokens: int) -> TextInputs:
    """For the built-in backbone."""
    return TextInputs(tokenizer, IMAGE_TOKENS, evidence_tokens)
