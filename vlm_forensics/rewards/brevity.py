"""Is the text short enough?"""

from __future__ import annotations

from typing import ClassVar

from vlm_forensics.rewards.base import Completion, Facts, Reward

SOFT, HARD = 256, 512
"""Tokens from which the reward falls, and at which nothing is left."""


class Brevity(Reward):
    """Soft overlong punishment of DAPO (Yu et al. 2025), shifted into [0, 1]."""

    name: ClassVar[str] = "brevity"
    formula: ClassVar[str] = f"1 up to {SOFT} tokens, then falls linearly to 0 at {HARD}."

    def __call__(self, said: Completion, facts: Facts) -> float:  # noqa: ARG002
        """In [0, 1]."""
        return min(1.0, max(0.0, (HARD - said.length) / (HARD - SOFT)))
