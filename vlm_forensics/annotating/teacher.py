"""The two passes: a description that knows the class, then its answer in the one grammar."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from vlm_forensics import prompts
from vlm_forensics.assets import asset
from vlm_forensics.endpoint import AnswerError, ChatEndpoint, Reply, Usage, message
from vlm_forensics.errors import VlmfError
from vlm_forensics.forge.annotation import mask_boxes
from vlm_forensics.forge.dataset import files
from vlm_forensics.image import EvidenceImage, printable
from vlm_forensics.parsing import Answer, Unparsed, parse
from vlm_forensics.spending import Account
from vlm_forensics.taxonomy import Label

SYSTEM, ANSWER, REPAIR = "annotate_system.v1", "annotate_answer.v1", "annotate_repair.v1"
WORDS = "annotate_words.v1"
DESCRIBE = {label: f"annotate_{label}.v1" for label in Label}
TRIES = 2
"""Answers that are asked for until one follows the grammar."""
_SENT = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_LONGEST = 300
_MARKUP = re.compile(r"[<>\[\]{}|`]")
_REPLY = TypeAdapter(Reply)
_CHARACTERS, _PICTURE, _REPLIED = 4, 1000, 200
GUESSED = (f"assumed: {_CHARACTERS} characters a token, {_PICTURE} tokens a picture, "
           f"{_REPLIED} tokens an answer")  # fmt: skip
"""What `guess` stands on; endpoints differ most in what a picture takes."""


@dataclass
class Ledger:
    """What one sample took, failures included."""

    usage: Usage = field(default_factory=Usage)
    """Of all answers it stands on, cached ones too."""
    calls: int = 0
    """Answers asked for now."""
    cached: int = 0
    attempts: int = 0
    """HTTP requests behind the answers asked for now; those behind an error are not known."""
    description: str = ""


class ReplyCache:
    """Answers kept in a folder under the digest of the whole request that they answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def get(self, key: str) -> Reply | None:
        """The answer kept under this key; None for none or a damaged one."""
        try:
            return _REPLY.validate_json(self._path(key).read_bytes())
        except (OSError, ValidationError):
            return None

    def put(self, key: str, reply: Reply) -> None:
        """Keep an answer.

        Raises:
            VlmfError: output_unwritable.
        """
        with self._lock:
            files.write(self._path(key), _REPLY.dump_json(reply))

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


@dataclass(frozen=True)
class Teacher:
    """A model that is asked about pictures whose class is known."""

    endpoint: ChatEndpoint
    cache: ReplyCache
    account: Account
    seed: int = 0
    temperature: float = 0.0
    max_tokens: int = 1024

    def explain(
        self, image: EvidenceImage, label: Label, mask: NDArray[np.bool_] | None, category: str,
        ledger: Ledger,
    ) -> Answer:  # fmt: skip
        """The teacher's answer.

        Args:
            image: the picture.
            label: its true class, which the teacher is told.
            mask: `[H, W]` the altered area, None where it is not known.
            category: what the picture shows, as its dataset calls it.
            ledger: filled in, also when this fails.

        Raises:
            EndpointError: as `ChatEndpoint.ask`.
            SpentError: the limit of cost is reached.
            VlmfError: answer_unparsed after the second try, or answer_label when the teacher
                does not follow the class.
        """
        asked = describing(label, mask, category)
        system = message("system", prompts.load(SYSTEM).text)
        described = self._ask([system, message("user", asked, picture(image))], ledger)
        self._keep(described)
        ledger.description = described.reply.text.strip()
        return self._answer([system, message("user", answering(label, ledger.description))],
                            label, ledger)  # fmt: skip

    def _answer(self, asked: list[dict[str, Any]], label: Label, ledger: Ledger) -> Answer:
        problem = ""
        for _ in range(TRIES):
            try:
                got = self._ask(asked, ledger)
            except AnswerError as error:
                if error.code != "answer_truncated":
                    raise
                problem, said = "it was cut off before its end", "…"
            else:
                answer = _usable(got.reply.text)
                if isinstance(answer, Answer):
                    if answer.verdict is not label:
                        raise VlmfError("answer_label", f"the teacher answers {answer.verdict}, "
                                        f"the class is {label}")  # fmt: skip
                    self._keep(got)
                    return answer
                problem, said = answer.reason, got.reply.text
            repair = prompts.load(REPAIR).render(reason=problem)
            asked = [*asked, message("assistant", said), message("user", repair)]
        raise VlmfError("answer_unparsed", f"no answer after {TRIES} tries: {problem}")

    def _ask(self, messages: Sequence[Mapping[str, Any]], ledger: Ledger) -> _Asked:
        body = self.endpoint.body(messages, max_tokens=self.max_tokens, seed=self.seed,
                                  temperature=self.temperature)  # fmt: skip
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        kept = self.cache.get(key)
        if kept is not None:
            ledger.cached += 1
            ledger.usage += kept.usage
            return _Asked(key, kept, new=False)
        self.account.check()
        try:
            reply = self.endpoint.post(body)
        except AnswerError as error:
            self._count(error.usage, ledger)
            raise
        self._count(reply.usage, ledger)
        ledger.attempts += reply.attempts
        return _Asked(key, reply, new=True)

    def _count(self, usage: Usage, ledger: Ledger) -> None:
        self.account.add(usage)
        ledger.usage += usage
        ledger.calls += 1

    def _keep(self, asked: _Asked) -> None:
        # Only what can be used is kept, so that a later run asks the rest again.
        if asked.new:
            self.cache.put(asked.key, asked.reply)


@dataclass(frozen=True, slots=True)
class _Asked:
    key: str
    reply: Reply
    new: bool


def _usable(text: str) -> Answer | Unparsed:
    """The parsed answer, if its sentences are plain text that is safe to train on."""
    answer = parse(text)
    if isinstance(answer, Answer):
        for claim in answer.claims:
            if _MARKUP.search(claim.text):
                return Unparsed("a sentence holds brackets or markup")
            if printable(claim.text, _LONGEST) != claim.text:
                return Unparsed(f"a sentence is not plain text of at most {_LONGEST} characters")
    return answer


def describing(label: Label, mask: NDArray[np.bool_] | None, category: str) -> str:
    """The question of pass 1."""
    place = _place(mask)
    return prompts.load(DESCRIBE[label]).render(focus=_focus(category), place=place)


def answering(label: Label, description: str) -> str:
    """The question of pass 2."""
    words = prompts.load_wording(WORDS)
    artifacts = "\n".join(f"  {name}: {meaning}" for name, meaning in words["artifacts"].items())
    return prompts.load(ANSWER).render(label=label, description=description,
                                       rule=words["rule"][label], artifacts=artifacts)  # fmt: skip


def guess(label: Label, category: str) -> Usage:
    """Tokens that one sample may take, before anything was asked."""
    system = prompts.load(SYSTEM).text
    sent = 2 * system + describing(label, None, category) + answering(label, "")
    return Usage(len(sent) // _CHARACTERS + _PICTURE + _REPLIED, 2 * _REPLIED)


@cache
def prompt_digests(label: Label) -> dict[str, str]:
    """Name and sha256 of every prompt file that decides the answer for a class."""
    names = [f"{name}.txt" for name in (SYSTEM, DESCRIBE[label], ANSWER, REPAIR)]
    return {name: hashlib.sha256(asset("prompts", name).read_bytes()).hexdigest()
            for name in (*names, f"{WORDS}.yaml")}  # fmt: skip


def picture(image: EvidenceImage) -> tuple[bytes, str]:
    """Bytes and media type that are sent: the file's own wherever a server reads them as we do.

    Other formats, and files that a viewer turns, are sent as PNG of the stored grid, so that the
    boxes of the answer are ours.
    """
    if image.format in _SENT and image.orientation == 1:
        return image.data, _SENT[image.format]
    _, data = cv2.imencode(".png", cv2.cvtColor(image.rgb, cv2.COLOR_RGB2BGR))
    return data.tobytes(), "image/png"


def _focus(category: str) -> str:
    focus = prompts.load_wording(WORDS)["focus"]
    asked = set(re.split(r"[/\s]+", category.lower()))
    found = next((kind for kind in focus.values() if asked & set(kind["names"])), focus["any"])
    return str(found["text"])


def _place(mask: NDArray[np.bool_] | None) -> str:
    words = prompts.load_wording(WORDS)["place"]
    if mask is None or not mask.any():
        return str(words["unknown"])
    boxes = "; ".join(" ".join(map(str, box)) for box in mask_boxes(mask))
    return str(words["known"]).format(boxes=boxes)
