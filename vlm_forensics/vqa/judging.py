"""From probes to a verdict: a published rule, and if asked for a language model beside it.

The rule counts *settled* probes: present or absent, stated with a confidence of at least `SURE`.

| what was found                                                                  | verdict      |
|---------------------------------------------------------------------------------|--------------|
| at least `SIGNS` present for synthetic (or tampered), a share of at least       | synthetic    |
| `SIGN_SHARE` of the settled probes for it; for the other kind not so, or fewer  | (tampered)   |
| than half as many                                                               |              |
| none present, at least `CLEARED` absent, at least half of the asked are settled | real         |
| anything else                                                                   | inconclusive |

A language model as judge can only agree: where it says something else, or cannot be read, the
verdict is inconclusive. So nothing that an answer says can turn a verdict.

The rule's numbers were set by hand. Where a calibration of this very model is given, `calibrated`
judges in the rule's place, with fitted numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vlm_forensics import prompts
from vlm_forensics.image import printable
from vlm_forensics.report import Judgement, Notice, ProbeRecord
from vlm_forensics.taxonomy import Label, Verdict
from vlm_forensics.vqa.answers import KEPT_TEXT, Unparsed, first_problem, json_object
from vlm_forensics.vqa.asking import Asker
from vlm_forensics.vqa.probes import speaks_for

JUDGE = "vqa_judge.v1"
SURE = 0.5
SIGNS = 2
SIGN_SHARE = 1 / 3
CLEARED = 6
SETTLED_SHARE = 0.5
THRESHOLDS = {"sure": SURE, "signs": SIGNS, "sign_share": SIGN_SHARE, "cleared": CLEARED,
              "settled_share": SETTLED_SHARE}  # fmt: skip
"""The rule's cut points, as a report records them. Set by hand: nothing was fitted."""

_NOT_READABLE = "No answer of the vision-language model could be read."
_TOO_FEW = "Too few questions were settled: {settled} of {asked}."
_SINGLE = "A single sign of forgery was seen, or too few among those looked for."
_BOTH = "Signs speak for a generated picture and for an altered one alike."
_SAID = "The language model as judge says {verdict}, the {first} says {rule}."
_NO_JUDGE = "The answer of the language model as judge could not be read ({why})."


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict of all judges together."""

    verdict: Verdict
    reasons: tuple[Notice, ...]
    carried_by: tuple[str, ...]
    """Ids of probes; those of the rule."""


def by_rule(records: Sequence[ProbeRecord]) -> Judgement:
    """The rule's judgement."""
    settled = [r for r in records if r.confidence is not None and r.confidence >= SURE]
    signs = {label: _signs(settled, label) for label in (Label.SYNTHETIC, Label.TAMPERED)}
    if any(signs.values()):
        return _forged(signs)
    present = [r for r in settled if r.state == "present"]
    if present:
        return _inconclusive("single_sign", _SINGLE)
    enough = len(settled) >= max(CLEARED, SETTLED_SHARE * len(records))
    if enough:
        return Judgement(by="rule", verdict=Verdict.REAL, probes=tuple(r.id for r in settled))
    if all(record.state == "unparsed" for record in records):
        return _inconclusive("unparsed", _NOT_READABLE)
    return _inconclusive("too_few", _TOO_FEW.format(settled=len(settled), asked=len(records)))


def _signs(settled: Sequence[ProbeRecord], label: Label) -> list[str]:
    """Ids of the present signs for a kind of forgery, [] where they do not suffice."""
    about = [record for record in settled if speaks_for(record.artifact) is label]
    present = [record.id for record in about if record.state == "present"]
    enough = len(present) >= max(SIGNS, SIGN_SHARE * len(about))
    return present if enough else []


def _forged(signs: dict[Label, list[str]]) -> Judgement:
    likelier, other = sorted(signs, key=lambda label: -len(signs[label]))
    if 2 * len(signs[other]) >= len(signs[likelier]):
        return _inconclusive("kinds_disagree", _BOTH)
    return Judgement(by="rule", verdict=Verdict(likelier), probes=tuple(signs[likelier]))


def _inconclusive(code: str, why: str) -> Judgement:
    return Judgement(by="rule", verdict=Verdict.INCONCLUSIVE, code=code, why=why)


def score(records: Sequence[ProbeRecord]) -> float | None:
    """Share of present ones among settled probes: a rank, not a probability; None without any."""
    settled = [r.state == "present" for r in records if (r.confidence or 0) >= SURE]
    return sum(settled) / len(settled) if settled else None


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    probes: list[str]
    why: str


def by_model(asker: Asker, records: Sequence[ProbeRecord]) -> Judgement:
    """A language model's judgement; it is shown the answers as quoted data, not the picture.

    Raises:
        EndpointError: the endpoint cannot be asked.
        ModelError: the model cannot be asked.
    """
    question = prompts.load(JUDGE).render(answers="\n".join(map(_quoted, records)))
    said = asker.ask("judge", question, shown=False)
    if said.problem:
        return _unreadable(said.problem, "")
    return read_judgement(said.text, records)


def read_judgement(text: str, records: Sequence[ProbeRecord]) -> Judgement:
    """The judgement in a text; one that names probes which were not asked is unparsed."""
    found = json_object(text)
    if isinstance(found, Unparsed):
        return _unreadable(found.reason, text)
    try:
        fields = _Fields.model_validate(found.fields)
    except ValidationError as error:
        return _unreadable(first_problem(error), text)
    if not set(fields.probes) <= {record.id for record in records}:
        return _unreadable("it names probes that were not asked", text)
    return Judgement(
        by="vlm", verdict=fields.verdict, probes=tuple(dict.fromkeys(fields.probes)),
        status="repaired" if found.repairs else "ok", why=printable(fields.why),
        text=printable(text, KEPT_TEXT),
    )  # fmt: skip


def _unreadable(why: str, text: str) -> Judgement:
    return Judgement(by="vlm", verdict=Verdict.INCONCLUSIVE, status="unparsed", code="unparsed",
                     why=why, text=printable(text, KEPT_TEXT))  # fmt: skip


def _quoted(record: ProbeRecord) -> str:
    """One probe as a line of JSON; text of an answer stands inside a JSON string."""
    first = record.answers[0]
    line: dict[str, Any] = {"id": record.id, "state": record.state,
                            "speaks_for": str(speaks_for(record.artifact)),
                            "confidence": record.confidence, "where": first.where,
                            "says": first.quote}  # fmt: skip
    return json.dumps(line)


def decide(judgements: Sequence[Judgement]) -> Decision:
    """The verdict in which all judges agree, else inconclusive with the reasons."""
    rule, *others = judgements
    reasons = [Notice(code=rule.code, message=rule.why)] if rule.code else []
    for other in others:
        if other.status == "unparsed":
            message = _NO_JUDGE.format(why=other.why)
            reasons.append(Notice(code="judge_unparsed", message=message))
        elif other.verdict is not rule.verdict:
            message = _SAID.format(verdict=other.verdict, first=rule.by, rule=rule.verdict)
            reasons.append(Notice(code="judges_disagree", message=message))
    if reasons:
        return Decision(Verdict.INCONCLUSIVE, tuple(reasons), ())
    return Decision(rule.verdict, (), rule.probes)
