"""Rewards of GRPO, one file each, found by folder scan.

    scoring.score("<answer>real</answer>", {"label": "real"}, {"verdict": 1.0, "format": 0.2})

A new reward is one new module here that holds a subclass of `Reward` with the module's name.
"""

from __future__ import annotations

import inspect
import pkgutil
from difflib import get_close_matches
from functools import cache
from importlib import import_module

from vlm_forensics.errors import InputError
from vlm_forensics.rewards.base import COLUMNS, Completion, Facts, Reward

__all__ = ["COLUMNS", "Completion", "Facts", "Reward", "as_markdown", "get", "names"]

_NOT_REWARDS = frozenset({"base", "scoring"})


@cache
def names() -> tuple[str, ...]:
    """Names of all rewards, in alphabetical order; imports none of them."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if name not in _NOT_REWARDS))


@cache
def get(name: str) -> Reward:
    """The reward of this name.

    Raises:
        InputError: unknown_reward.
    """
    if name not in names():
        near = get_close_matches(name, names(), 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}"
        raise InputError("unknown_reward", f"no reward is called {name!r}", hint=hint)
    module = import_module(f"{__name__}.{name}")
    members = (member for _, member in inspect.getmembers(module, inspect.isclass))
    return next(m() for m in members if issubclass(m, Reward) and m.__module__ == module.__name__)


def as_markdown() -> str:
    """The table of all rewards in `docs/rewards.md`."""
    rows = [f"| `{name}` | {get(name).formula} |" for name in names()]
    return "\n".join(["| reward | formula |", "|---|---|", *rows]) + "\n"
