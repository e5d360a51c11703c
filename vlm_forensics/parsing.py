r"""The one grammar of answers, shared by inference, rewards and evaluation.

    answer  := ["<think>" text "</think>"] "<answer>" verdict [" [SEG]"] { "\n" claim } "</answer>"
    verdict := "real" | "synthetic" | "tampered"
    claim   := artifact " | " box " | " sentence
    box     := "all" | x0 " " y0 " " x1 " " y1      (0..99, x to the right, both ends included)

Repairs, each of which sets `status = "repaired"`: a missing `</answer>`, and claim lines that are
malformed, cut off, repeated or name an unknown artifact, which are dropped. Anything else is
`Unparsed`, which counts as wrong everywhere and is never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from vlm_forensics.taxonomy import Artifact, Label

GRID = 100
"""Boxes in text are in hundredths of the picture's width and height."""
MAX_CLAIMS = 6
_ANSWER = re.compile(
    r"\A\s*(?:<think>.*?</think>\s*)?<answer>(?P<body>.*?)(?P<end></answer>\s*|\Z)", re.S
)
_HEAD = re.compile(r"\A(?P<verdict>real|synthetic|tampered)(?P<seg> \[SEG\])?\s*\Z")
_CLAIM = re.compile(
    r"\A(?P<artifact>[a-z_]+) \| (?P<box>all|[0-9]{1,2}(?: [0-9]{1,2}){3}) \| (?P<text>\S.*)\Z"
)

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class ParsedClaim:
    """One claim line."""

    artifact: Artifact
    box: Box | None
    """`(x0, y0, x1, y1)` in hundredths, both ends included; None means the whole picture."""
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A text that follows the grammar."""

    verdict: Label
    segmented: bool
    """`[SEG]` was written."""
    claims: tuple[ParsedClaim, ...]
    status: Literal["ok", "repaired"]


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A text that does not; its verdict is unknown."""

    reason: str


def parse(text: str) -> Answer | Unparsed:
    """The answer in this text; never raises, never guesses."""
    match = _ANSWER.match(text)
    if match is None:
        return Unparsed("no <answer>")
    if text[match.end() :].strip():
        return Unparsed("text after </answer>")
    first, *lines = match["body"].strip().split("\n")
    head = _HEAD.match(first.strip())
    if head is None:
        return Unparsed("the first line names no verdict")
    claims = _claims(lines, complete=bool(match["end"]))
    whole = bool(match["end"]) and len(claims) == len(lines)
    verdict = Label(head["verdict"])
    return Answer(verdict, head["seg"] is not None, claims, "ok" if whole else "repaired")


def _claims(lines: list[str], *, complete: bool) -> tuple[ParsedClaim, ...]:
    # Without the closing tag the last line may have been cut off in the middle of a sentence.
    kept = lines if complete else lines[:-1]
    found: list[ParsedClaim] = []
    for line in kept:
        claim = _claim(line.strip())
        if claim is not None and claim not in found and len(found) < MAX_CLAIMS:
            found.append(claim)
    return tuple(found)


def _claim(line: str) -> ParsedClaim | None:
    match = _CLAIM.match(line)
    if match is None or match["artifact"] not in set(Artifact):
        return None
    box: Box | None = None
    if match["box"] != "all":
        x0, y0, x1, y1 = (int(number) for number in match["box"].split())
        if x0 > x1 or y0 > y1:
            return None
        box = (x0, y0, x1, y1)
    return ParsedClaim(Artifact(match["artifact"]), box, match["text"].strip())


def compose(verdict: Label, claims: tuple[ParsedClaim, ...]) -> str:
    """The text of an answer; `parse(compose(...))` gives it back."""
    seg = " [SEG]" if verdict is Label.TAMPERED else ""
    lines = [f"<answer>{verdict}{seg}"]
    lines += [f"{c.artifact} | {'all' if c.box is None else ' '.join(map(str, c.box))} | {c.text}"
              for c in claims]  # fmt: skip
    return "\n".join(lines) + "</answer>"
