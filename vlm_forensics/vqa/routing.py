"""Which probe sets fit a picture: one multiple-choice question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Literal, NamedTuple

from vlm_forensics import prompts
from vlm_forensics.errors import InputError
from vlm_forensics.vqa import probes
from vlm_forensics.vqa.asking import Asker
from vlm_forensics.vqa.probes import ProbeSet

ROUTER = "vqa_router.v1"
_LETTERS = re.compile(r"[A-Z](?:\s*,\s*[A-Z])*")


class Route(NamedTuple):
    """The sets to ask."""

    sets: tuple[ProbeSet, ...]
    chosen_by: Literal["user", "router", "fallback"]


def named(names: Sequence[str]) -> Route:
    """The sets that a user names.

    Raises:
        InputError: unknown_probes, also where none is named.
    """
    known = probes.names()
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        which = f"there is no probe set {unknown[0]!r}" if unknown else "no probe set is named"
        raise InputError("unknown_probes", which, hint=f"there are {', '.join(known)}")
    return Route(tuple(map(probes.load, dict.fromkeys(names))), "user")


def route(asker: Asker) -> Route:
    """The sets that fit what the picture shows, and always those that fit any picture.

    An answer that is not a list of the letters offered chooses the sets that fit any picture.
    """
    offered = [s for s in map(probes.load, probes.names()) if s.shows]
    letters = dict(zip(ascii_uppercase, offered, strict=False))
    options = "\n".join(f"{letter}: {s.shows}" for letter, s in letters.items())
    said = asker.ask("router", prompts.load(ROUTER).render(options=options))
    chosen = read_letters(said.text, "".join(letters))
    if chosen is None:
        return Route(probes.fit_any(), "fallback")
    return Route((*(letters[letter] for letter in chosen), *probes.fit_any()), "router")


def read_letters(text: str, offered: str) -> list[str] | None:
    """The letters in an answer, in order and once each; [] for "none".

    Returns:
        None for anything but such a list.
    """
    answer = text.strip().rstrip(".").strip()
    if answer.lower() == "none":
        return []
    if not _LETTERS.fullmatch(answer):
        return None
    letters = sorted(set(re.findall("[A-Z]", answer)))
    return letters if set(letters) <= set(offered) else None
