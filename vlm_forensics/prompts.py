"""Prompts are versioned files in `prompts/`; a report quotes name and sha256 of its prompt."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from vlm_forensics.assets import asset

EXPLAIN = "explain.v2"
"""The prompt the built-in default was trained on."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt file."""

    name: str
    """File name without its suffix, for example `explain.v1`."""
    text: str
    sha256: str

    def render(self, **fields: str) -> str:
        """The text with every `{field}` filled in.

        Raises:
            KeyError: a field of the prompt was not given.
        """
        return self.text.format_map(fields)


@cache
def load(name: str) -> Prompt:
    """The prompt `prompts/<name>.txt`, without its final newline.

    Raises:
        FileNotFoundError: no such prompt is shipped.
    """
    data = asset("prompts", f"{name}.txt").read_bytes()
    return Prompt(name, data.decode("utf-8").removesuffix("\n"), hashlib.sha256(data).hexdigest())


@cache
def load_wording(name: str) -> dict[str, Any]:
    """The sentence variants in `prompts/<name>.yaml`."""
    import yaml

    content: dict[str, Any] = yaml.safe_load(asset("prompts", f"{name}.yaml").read_text("utf-8"))
    return content
