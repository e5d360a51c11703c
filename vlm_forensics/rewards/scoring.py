"""Rewards together: their weighted mean, and the functions that TRL's GRPOTrainer calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, NamedTuple

from vlm_forensics.errors import InputError
from vlm_forensics.rewards import COLUMNS, get
from vlm_forensics.rewards.base import Completion, Facts

RewardFunction = Callable[..., list[float | None]]


class Score(NamedTuple):
    """The rewards of one completion."""

    total: float | None
    """Weighted mean of those that apply, in [0, 1]; None where none does."""
    parts: dict[str, float | None]


def score(text: str, columns: Mapping[str, object], weights: Mapping[str, float]) -> Score:
    """Every weighted reward of one completion.

    Args:
        text: the completion.
        columns: what is known of its sample, by the names in `COLUMNS`.
        weights: of the rewards by name, positive.

    Raises:
        InputError: a name is unknown, or a weight is not positive.
    """
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight > 0):
            raise InputError("bad_weight", f"the weight of {name} is {weight}",
                             hint="give a positive number, or leave the reward out")  # fmt: skip
    said, facts = Completion(text), Facts.of(columns)
    parts = {name: get(name)(said, facts) for name in weights}
    applied = {name: value for name, value in parts.items() if value is not None}
    if not applied:
        return Score(None, parts)
    total = sum(weights[name] * value for name, value in applied.items())
    return Score(total / sum(weights[name] for name in applied), parts)


def trl_function(name: str) -> RewardFunction:
    """The reward as `GRPOTrainer(reward_funcs=[...])` takes it; weights are the trainer's.

    It is called with `completions`, texts or lists of messages, and every column of the data as a
    list by keyword; other keywords are passed over.

    Raises:
        InputError: the name is unknown.
    """
    reward = get(name)

    def function(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        count = len(completions)
        known = {key: columns[key] for key in COLUMNS if _one_each(columns.get(key), count)}
        ids: Any = columns.get("completion_ids")
        lengths = list(map(_length, ids)) if _one_each(ids, count) else [None] * count
        rows = ({key: values[n] for key, values in known.items()} for n in range(count))
        texts = map(_text, completions)
        return [reward(Completion(text, length), Facts.of(row))
                for text, length, row in zip(texts, lengths, rows, strict=True)]  # fmt: skip

    function.__name__ = name
    return function


def _one_each(values: object, count: int) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and len(values) == count


def _length(tokens: object) -> int | None:
    return len(tokens) if isinstance(tokens, Sized) else None


def _text(completion: object) -> str:
    """The text of a completion, also of a conversational one; junk is an empty text."""
    if isinstance(completion, str):
        return completion
    if not isinstance(completion, Sequence):
        return ""
    said = [message.get("content") for message in completion if isinstance(message, Mapping)]
    return "".join(text for text in said if isinstance(text, str))
