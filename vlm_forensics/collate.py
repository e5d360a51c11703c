"""Prompts and answers to token batches for the assembled model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vlm_forensics import backbones, prompts
from vlm_forensics.backbones.mini import SPECIAL_TOKENS
from vlm_forensics.model.losses import IGNORE

OWN_TOKENS = SPECIAL_TOKENS[1:]
"""Added to every language model: evidence placeholder, `[CLS]`, `[SEG]`."""


@dataclass(frozen=True)
class TextInputs:
    """Builds token ids around image and evidence placeholders.

    Args:
        tokenizer: with the special tokens added.
        family: how the backbone wants a turn and a picture written.
        picture: what stands for the picture, image tokens and their frame.
        evidence_tokens: K of the adapter.
    """

    tokenizer: Any
    family: backbones.Family
    picture: str
    evidence_tokens: int

    @classmethod
    def of(cls, tokenizer: Any, config: Any) -> TextInputs:
        """For a model of this `VlmForensicsConfig`."""
        backbone = config.backbone_config
        family = backbones.for_config(backbone)
        token = tokenizer.convert_ids_to_tokens(backbone.image_token_id)
        picture = family.picture(tokenizer, token * family.image_tokens(backbone))
        return cls(tokenizer, family, picture, config.evidence_tokens)

    def prompt_ids(self, judged: str, measured: str) -> list[int]:
        """Ids of the user turn with what heads and features say, up to where the answer begins."""
        return self.turn_ids(self.question(judged, measured))

    def question(self, judged: str, measured: str) -> str:
        """What follows the picture in the user's turn."""
        evidence, cls, _ = OWN_TOKENS
        return prompts.load(prompts.EXPLAIN).render(
            image="", evidence=evidence * self.evidence_tokens, judged=judged,
            measured=measured, cls=cls,
        )  # fmt: skip

    def turn(self, question: str) -> str:
        """The user's turn about a picture, up to where the answer begins."""
        turn = self.family.prompt(self.tokenizer, question)
        return turn.replace(self.family.placeholder, self.picture, 1)

    def turn_ids(self, question: str) -> list[int]:
        """Its ids."""
        text = self.turn(question)
        begun = text.startswith(self.tokenizer.bos_token or "")
        ids: list[int] = self.tokenizer(text, add_special_tokens=not begun)["input_ids"]
        return ids

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer and its end."""
        text = f"{answer}{self.tokenizer.eos_token}"
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def answer_text(self, ids: Any) -> str:
        """The answer in generated ids, `[SEG]` kept, without its end."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False)
        return text.split(self.tokenizer.eos_token, 1)[0]

    def batch(
        self, judged: Sequence[str], measured: Sequence[str], answers: Sequence[str]
    ) -> dict[str, Tensor]:
        """Right-padded `input_ids`, `attention_mask` and `labels` (answer tokens only)."""
        rows, labels = [], []
        for heads, clues, answer in zip(judged, measured, answers, strict=True):
            prompt, ending = self.prompt_ids(heads, clues), self.answer_ids(answer)
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
