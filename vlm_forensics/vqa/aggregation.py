"""One probe's answers made one state: nothing counts that rewording or suggestion changes.

A probe is asked plainly and in other words. Where all say the same, present or absent, it is asked
once more under the hypothesis that speaks against them (FFAA's opposed hypotheses): a sign must
still be present if the picture is assumed real, and absent if it is assumed forged. A model that
follows the hypothesis has said nothing. The other hypothesis could only agree and is not asked.

| answers                                                | state         |
|--------------------------------------------------------|---------------|
| any is unparsed                                        | `unparsed`    |
| a plain or reworded one is `cannot_tell`               | `cannot_tell` |
| two differ, or the opposed hypothesis changes it       | `disputed`    |
| all say `present` / `absent`, the opposed one included | that          |

Asking stops at the first answer that decides the state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from vlm_forensics import prompts
from vlm_forensics.report import ProbeRecord, VlmAnswer
from vlm_forensics.vqa.answers import Presence, parse, unparsed
from vlm_forensics.vqa.asking import Asker, Said
from vlm_forensics.vqa.probes import Probe

ASK = "vqa_ask.v1"
ASSUME: dict[Presence, tuple[str, str]] = {
    "present": ("assume_real", "vqa_assume_real.v1"),
    "absent": ("assume_forged", "vqa_assume_forged.v1"),
}
"""The hypothesis that speaks against an answer: name of its wording, and its prompt."""
PROMPTS = (ASK, *(prompt for _, prompt in ASSUME.values()))

State = Literal["present", "absent", "cannot_tell", "disputed", "unparsed"]


class Wording(NamedTuple):
    """One way to ask."""

    name: str
    text: str


def ask_probe(asker: Asker, name: str, probe: Probe) -> ProbeRecord:
    """Asks until the state is decided.

    Raises:
        EndpointError: the endpoint cannot be asked.
        ModelError: the model cannot be asked.
    """
    answers: list[VlmAnswer] = []
    for wording in wordings(probe, lambda: answers[0].artifact):
        answers.append(_read(asker.ask(f"{name}/{wording.name}", wording.text), wording.name))
        if _decided_by(answers) is not None:
            break
    return record(name, probe, answers)


def wordings(probe: Probe, first: Callable[[], Presence | None]) -> Iterator[Wording]:
    """The ways to ask, in order; the last depends on what the first answer was."""
    ask = prompts.load(ASK)
    yield Wording("plain", ask.render(assumed="", question=probe.question))
    for number, question in enumerate(probe.paraphrases, 1):
        yield Wording(f"paraphrase_{number}", ask.render(assumed="", question=question))
    said = first()
    if said in ASSUME:
        name, prompt = ASSUME[said]
        assumed = f"{prompts.load(prompt).text.strip()} "
        yield Wording(name, ask.render(assumed=assumed, question=probe.question))


def record(name: str, probe: Probe, answers: Sequence[VlmAnswer]) -> ProbeRecord:
    """The record of a probe with these answers."""
    state = state_of(answers)
    sure = [a.confidence for a in answers if a.confidence is not None]
    decided = state in ASSUME and sure
    return ProbeRecord(id=name, artifact=probe.artifact, state=state, answers=tuple(answers),
                       confidence=min(sure) if decided else None)  # fmt: skip


def state_of(answers: Sequence[VlmAnswer]) -> State:
    """The state by the table above; `unparsed` where the opposed hypothesis was not asked."""
    decided = _decided_by(answers)
    if decided is not None:
        return decided
    last = answers[-1] if answers else None
    if last is None or last.artifact is None or last.wording != ASSUME[last.artifact][0]:
        return "unparsed"
    return last.artifact


def _decided_by(answers: Sequence[VlmAnswer]) -> State | None:
    """The state that no further answer can change; None while all agree."""
    for answer in answers:
        if answer.artifact is None:
            return "unparsed"
        if answer.wording.startswith("assume_"):
            if answer.artifact != answers[0].artifact:
                return "disputed"
        elif answer.artifact == "cannot_tell":
            return "cannot_tell"
        elif answer.artifact != answers[0].artifact:
            return "disputed"
    return None


def _read(said: Said, wording: str) -> VlmAnswer:
    if said.problem:
        return unparsed(wording, said.problem)
    return parse(said.text, wording, cached=said.cached)
