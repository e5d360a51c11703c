"""The cards of the datasets that adapters read: YAML front matter and text, in `data_cards/`."""

from __future__ import annotations

from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from vlm_forensics.assets import asset
from vlm_forensics.errors import InputError
from vlm_forensics.taxonomy import Label


class DatasetCard(BaseModel):
    """What must be known before a dataset is used; further keys of the Hub are allowed."""

    model_config = ConfigDict(extra="allow", frozen=True)

    license: str
    """Hub identifier, as its authors state it."""
    size: str
    """Number of images, and who counted them."""
    classes: tuple[Label, ...]
    generators: tuple[str, ...]
    masks: bool
    explanations: bool
    leaks: str
    """Known leaks between splits, shortcuts and wrong labels."""
    consent: str
    """Who is shown, and whether they agreed."""
    obtain: str
    """Where it is, and what to unpack into which folder."""
    layout: Literal["verified", "unverified"]
    """Whether the layout was checked against published files, listings or the authors' code."""
    layout_seen: str
    """What it was checked against; for an unverified one, what it is assumed from."""
    text: str
    """The page below the front matter."""


def read_card(name: str) -> DatasetCard:
    """The card of an adapter.

    Raises:
        InputError: there is none, or it lacks something (`bad_card`).
    """
    try:
        page = asset("data_cards", f"{name}.md").read_text(encoding="utf-8")
        _, front, text = page.split("---\n", 2)
        facts: dict[str, Any] = yaml.safe_load(front)
        return DatasetCard(**facts, text=text.strip())
    except FileNotFoundError as error:
        raise InputError("bad_card", f"{name} has no card in data_cards/",
                         hint="docs/datasets.md says what a card holds") from error  # fmt: skip
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise InputError("bad_card", f"the card of {name} cannot be read: {error}",
                         hint="docs/datasets.md says what a card holds") from error  # fmt: skip
