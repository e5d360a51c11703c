"""Probe sets: versioned files `prompts/vqa_<set>.v<n>.yaml`, of which the newest is asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vlm_forensics.assets import asset
from vlm_forensics.taxonomy import Artifact, Label

_FILE = re.compile(r"vqa_(?P<set>[a-z]+)\.v(?P<version>[0-9]+)\.yaml")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Probe(_Part):
    """One question, worded so that "present" means a sign of forgery."""

    id: str = Field(pattern=r"^[a-z_]+$")
    artifact: Artifact
    """What a present sign speaks for."""
    cost: Literal[1, 2, 3]
    """Probes of lower cost are asked first; the dearer ones only if they did not settle it."""
    question: str
    paraphrases: tuple[str, ...] = Field(min_length=1)
    """The same question in other words."""
    finding: str
    """The sign as a claim names it: `eyes whose pupils do not fit together`."""

    @property
    def speaks_for(self) -> Label:
        """The kind of forgery that a present sign means."""
        return speaks_for(self.artifact)


class ProbeSet(_Part):
    """Probes about one kind of content."""

    name: str
    prompt: str
    """File name without its suffix."""
    sha256: str
    title: str
    shows: str = ""
    """What a picture must show for the set to fit; empty for any picture."""
    probes: tuple[Probe, ...] = Field(min_length=1)


def speaks_for(artifact: Artifact) -> Label:
    """Generated texture makes the whole picture synthetic, every other trace a part tampered."""
    return Label.SYNTHETIC if artifact is Artifact.GENERATOR_TEXTURE else Label.TAMPERED


@cache
def names() -> tuple[str, ...]:
    """Names of all sets, in alphabetical order; reads none of them."""
    return tuple(sorted(_newest()))


@cache
def load(name: str) -> ProbeSet:
    """The newest version of the set.

    Raises:
        KeyError: there is none of this name.
        pydantic.ValidationError: the file is not a probe set.
    """
    import yaml

    prompt = f"vqa_{name}.v{_newest()[name]}"
    data = asset("prompts", f"{prompt}.yaml").read_bytes()
    known = {"name": name, "prompt": prompt, "sha256": hashlib.sha256(data).hexdigest()}
    return ProbeSet.model_validate(yaml.safe_load(data) | known)


def fit_any() -> tuple[ProbeSet, ...]:
    """The sets that fit any picture."""
    return tuple(probe_set for probe_set in map(load, names()) if not probe_set.shows)


def by_cost(sets: Iterable[ProbeSet]) -> list[list[tuple[str, Probe]]]:
    """All probes with their full ids `<set>.<probe>`, in groups of rising cost."""
    found = [(f"{s.name}.{probe.id}", probe) for s in sets for probe in s.probes]
    costs = sorted({probe.cost for _, probe in found})
    return [[item for item in found if item[1].cost == cost] for cost in costs]


def _newest() -> dict[str, int]:
    files = (path.name for path in asset("prompts").iterdir())
    matches = [match for name in files if (match := _FILE.fullmatch(name))]
    # Sorted, so that a later version replaces an earlier one.
    return dict(sorted((match["set"], int(match["version"])) for match in matches))
