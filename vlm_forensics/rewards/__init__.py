"""Rewards of GRPO, one file each, found by folder scan.

    scoring.score("<answer>real</answer>", {"label": "real"}, {"verdict": 1.0, "format": 0.2})

A new reward is one new module here that holds a subclass of `Reward` with the module's name.
"""

from __future__ import annotations

from functools import cache

from vlm_forensics.registry import Registry
from vlm_forensics.rewards.base import COLUMNS, Completion, Facts, Reward

__all__ = ["COLUMNS", "Completion", "Facts", "Reward", "as_markdown", "get", "names"]

_REWARDS = Registry[Reward](__name__, Reward, "reward", besides={"base", "scoring"})


def names() -> tuple[str, ...]:
    """Names of all rewards, in alphabetical order; imports none of them."""
    return _REWARDS.names


@cache
def get(name: str) -> Reward:
    """The reward of this name.

    Raises:
        InputError: unknown_reward.
    """
    return _REWARDS.get(name)


def as_markdown() -> str:
    """The table of all rewards in `docs/rewards.md`."""
    rows = [f"| `{name}` | {get(name).formula} |" for name in names()]
    return "\n".join(["| reward | formula |", "|---|---|", *rows]) + "\n"
