"""What a reward is: one completion and what is known of its sample in, a number in [0, 1] out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from numbers import Real
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.parsing import Answer, ParsedClaim, Unparsed, parse
from vlm_forensics.taxonomy import Label, Operation

_THOUGHT = re.compile(r"\A\s*<think>(?P<text>.*?)</think>", re.S)
_Word = TypeVar("_Word", bound=StrEnum)

COLUMNS = ("label", "operation", "mask", "predicted_mask", "head", "unusual", "difficulty")
"""Columns of a training set, and what the trainer adds, that rewards read."""


@dataclass(frozen=True)
class Completion:
    """What the model wrote; parsed once for all rewards."""

    text: str
    tokens: int | None = None
    """Length where the trainer tells it, else it is counted in words."""

    @cached_property
    def answer(self) -> Answer | None:
        """The parsed answer; None where the text does not parse, which is never guessed at."""
        found = parse(self.text)
        return None if isinstance(found, Unparsed) else found

    @property
    def claims(self) -> tuple[ParsedClaim, ...]:
        """The claims of the answer."""
        return () if self.answer is None else self.answer.claims

    @property
    def thought(self) -> str:
        """What stands between the tags of thinking."""
        found = _THOUGHT.match(self.text)
        return found["text"].strip() if found else ""

    @property
    def length(self) -> int:
        """Tokens, or words where tokens are not known."""
        return len(self.text.split()) if self.tokens is None else self.tokens


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What is known of a sample, and what the rest of the model said of it. All may be unknown."""

    label: Label | None = None
    operation: Operation | None = None
    mask: NDArray[np.bool_] | None = None
    """`[H, W]` the altered area."""
    predicted_mask: NDArray[np.bool_] | None = None
    """`[h, w]` what the mask decoder made of this completion's `[SEG]`, any resolution."""
    head: Label | None = None
    """The class head's verdict."""
    unusual: frozenset[str] | None = None
    """Features that measured something outside the range of real photographs on this sample."""
    difficulty: float | None = None
    """In [0, 1], for example the share of earlier completions that were wrong."""

    @classmethod
    def of(cls, columns: Mapping[str, object]) -> Facts:
        """What can be read from a row; a value that makes no sense is unknown, never an error."""
        return cls(
            _word(Label, columns.get("label")), _word(Operation, columns.get("operation")),
            _area(columns.get("mask")), _area(columns.get("predicted_mask")),
            _word(Label, columns.get("head")), _names(columns.get("unusual")),
            _share(columns.get("difficulty")),
        )  # fmt: skip


class Reward(ABC):
    """One reward, in the module of its name."""

    name: ClassVar[str]
    """Equals the module's name."""
    formula: ClassVar[str]
    """How it is computed and when it says nothing, one or two sentences."""

    @abstractmethod
    def __call__(self, said: Completion, facts: Facts) -> float | None:
        """The reward in [0, 1]; None where the sample does not allow one. Never raises."""


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Intersection over union of two areas of one shape; 1 for two empty ones."""
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 1.0


def _word(kind: type[_Word], value: object) -> _Word | None:
    return kind(value) if isinstance(value, str) and value in set(kind) else None


def _names(value: object) -> frozenset[str] | None:
    if not isinstance(value, list | tuple | set | frozenset):
        return None
    return frozenset(name for name in value if isinstance(name, str))


def _share(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return float(value) if 0 <= float(value) <= 1 else None


def _area(value: object) -> NDArray[np.bool_] | None:
    """`[H, W]` of an array, a list of rows or a PIL image; bool, 0 to 255, or shares of 1."""
    if value is None:
        return None
    try:
        found = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # ragged rows; tensors that cannot be arrays
        return None
    if found.ndim == 3 and found.shape[0] == 1:
        found = found[0]
    if found.ndim != 2 or not found.size or found.dtype.kind not in "buif":
        return None
    half = 0.5 if found.dtype.kind in "bf" or found.max() <= 1 else 127
    return np.asarray(found > half)
