"""Scores of explanations against published texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TOKEN = re.compile(r"[a-z0-9]+")
_BATCH = 32


def tokens(text: str) -> list[str]:
    """Lower-case words and numbers."""
    return _TOKEN.findall(text.lower())


def rouge_l(reference: str, candidate: str) -> float:
    """ROUGE-L F1 (Lin 2004): the longest common subsequence of words, without stemming.

    Returns:
        In [0, 1]; 0 when either text has no words.
    """
    wanted, said = tokens(reference), tokens(candidate)
    common = _common_length(wanted, said)
    return 2 * common / (len(wanted) + len(said)) if common else 0.0


def _common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    above = [0] * (len(second) + 1)
    for word in first:
        row = [0]
        for column, other in enumerate(second):
            longest = above[column] + 1 if word == other else max(row[-1], above[column + 1])
            row.append(longest)
        above = row
    return above[-1]


def cosine_similarities(
    references: Sequence[str], candidates: Sequence[str], encoder: str | Path
) -> NDArray[np.float64]:
    """Cosine of mean-pooled token states of each pair of texts, `[N]` in [-1, 1].

    Args:
        references: published texts.
        candidates: our texts, in the same order.
        encoder: a transformers text encoder, by folder or hub name. Published "CSS" figures use
            different encoders, most unnamed: compare only figures of the same one.

    Raises:
        OSError: the encoder cannot be loaded.
    """
    first, second = (_embedded(texts, encoder) for texts in (references, candidates))
    return np.asarray((first * second).sum(axis=1), np.float64)


def _embedded(texts: Sequence[str], encoder: str | Path) -> NDArray[np.float32]:
    """Unit vectors, `[N, D]`."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(encoder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = AutoModel.from_pretrained(encoder, dtype=torch.float32).eval()
    found = []
    for start in range(0, len(texts), _BATCH):
        batch = tokenizer(list(texts[start : start + _BATCH]), padding=True, truncation=True,
                          max_length=512, return_tensors="pt")  # fmt: skip
        with torch.inference_mode():
            states = model(input_ids=batch["input_ids"],
                           attention_mask=batch["attention_mask"]).last_hidden_state  # fmt: skip
        weights = batch["attention_mask"][..., None].to(states.dtype)
        pooled = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        found.append(torch.nn.functional.normalize(pooled, dim=1).numpy())
    return np.concatenate(found) if found else np.zeros((0, 1), np.float32)
