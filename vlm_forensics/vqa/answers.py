"""Reading answers: one JSON object of a strict schema, or `Unparsed`, which is never guessed.

Repairs, each of which is named in the record: text or a code fence around the one object, a leading
<think> block, another case or spacing of the `artifact` words, a confidence written as a string or
in percent with its sign, and a missing or null `where` or `quote`. Everything else is unparsed: no
object or several, unknown or doubled keys, numbers out of range, more than `MAX_TEXT` characters.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vlm_forensics.image import printable
from vlm_forensics.report import VlmAnswer

MAX_TEXT = 8000
"""Characters of an answer that is read at all."""
KEPT_TEXT = 2000
_KEPT_WORDS = 160
_THINK = re.compile(r"\A\s*<think>.*?</think>", re.S)
_PERCENT = re.compile(r"[0-9]{1,3}(?:\.[0-9]+)?%")

Status = Literal["ok", "repaired"]
Presence = Literal["present", "absent", "cannot_tell"]


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A text that does not follow the schema."""

    reason: str


@dataclass(frozen=True, slots=True)
class JsonObject:
    """The one object of a text."""

    fields: dict[str, Any]
    repairs: tuple[str, ...]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    artifact: Presence
    confidence: float = Field(ge=0, le=1, allow_inf_nan=False)
    where: str
    quote: str


def parse(text: str, wording: str, *, cached: bool = False) -> VlmAnswer:
    """The answer in this text, or a record of why there is none; never raises, never guesses."""
    found = json_object(text)
    if isinstance(found, Unparsed):
        return unparsed(wording, found.reason, text, cached=cached)
    fields, repairs = _repaired(found)
    try:
        answer = _Fields.model_validate(fields)
    except ValidationError as error:
        return unparsed(wording, first_problem(error), text, cached=cached)
    return VlmAnswer(
        wording=wording, status="repaired" if repairs else "ok", artifact=answer.artifact,
        confidence=answer.confidence, where=printable(answer.where, _KEPT_WORDS),
        quote=printable(answer.quote, _KEPT_WORDS), text=printable(text, KEPT_TEXT),
        why="; ".join(repairs), cached=cached,
    )  # fmt: skip


def unparsed(wording: str, reason: str, text: str = "", *, cached: bool = False) -> VlmAnswer:
    """The record of an answer that cannot be read."""
    return VlmAnswer(
        wording=wording, status="unparsed", artifact=None, confidence=None,
        text=printable(text, KEPT_TEXT), why=printable(reason), cached=cached,
    )  # fmt: skip


def json_object(text: str) -> JsonObject | Unparsed:
    """The one JSON object that a text holds."""
    if len(text) > MAX_TEXT:
        return Unparsed(f"more than {MAX_TEXT} characters")
    rest = _THINK.sub("", text)
    before, brace, tail = rest.partition("{")
    if not brace:
        return Unparsed("no JSON object")
    try:
        fields, end = _DECODER.raw_decode(brace + tail)
    except (ValueError, RecursionError):
        return Unparsed("no valid JSON object")
    after = (brace + tail)[end:]
    if "{" in after:
        return Unparsed("more than one JSON object")
    return JsonObject(fields, tuple(_around(text, rest, before, after)))


def _around(text: str, rest: str, before: str, after: str) -> list[str]:
    found = ["<think> left out"] if rest != text else []
    return found + (["text around the object left out"] if (before + after).strip() else [])


def first_problem(error: ValidationError) -> str:
    """What a schema objects to first, without the text of the answer."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # A key is the answer's own text when it is one that the schema does not know.
    known = first["type"] != "extra_forbidden"
    return f"{first['loc'][0] if known and first['loc'] else 'a key'}: {first['msg']}"


def _repaired(found: JsonObject) -> tuple[dict[str, Any], list[str]]:
    fields, repairs = dict(found.fields), list(found.repairs)
    word = fields.get("artifact")
    if isinstance(word, str):
        plain = re.sub(r"[\s'-]+", "_", word.strip().lower())
        fields["artifact"] = plain.replace("can_t", "cannot")
        repairs += ["spelling of artifact"] * (fields["artifact"] != word)
    number = _number(fields.get("confidence"))
    if number is not None:
        fields["confidence"] = number
        repairs.append("confidence written as text")
    for name in ("where", "quote"):
        if fields.get(name) is None:
            fields[name] = ""
            repairs.append(f"{name} missing")
    return fields, repairs


def _number(value: object) -> float | None:
    """The number that a string holds; None for what is no such string."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        return float(text[:-1]) / 100 if _PERCENT.fullmatch(text) else float(text)
    except ValueError:
        return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key appears twice")
    return fields


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)
