"""Asking an engine about one picture; answers that came before are not asked for again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vlm_forensics import weights
from vlm_forensics.endpoint import AnswerError
from vlm_forensics.vqa.budget import Budget
from vlm_forensics.vqa.engines import Engine
from vlm_forensics.vqa.pictures import Picture

log = logging.getLogger(__name__)


class Said(NamedTuple):
    """What came back."""

    text: str
    """Empty when it cannot be used."""
    problem: str
    """Code of the `AnswerError`; empty otherwise."""
    cached: bool


@dataclass(frozen=True, slots=True)
class Asker:
    """One engine, one picture, and the answers kept on disk.

    An interrupted run goes on where it stopped. Only whole answers are kept.
    """

    engine: Engine
    picture: Picture
    image_sha256: str
    """Of the file."""
    budget: Budget = field(default_factory=Budget)

    def ask(self, name: str, question: str, *, shown: bool = True) -> Said:
        """The answer to a question.

        Args:
            name: of what is asked, such as the probe's id.
            question: everything that is said to the model.
            shown: with the picture, or about text alone.

        Raises:
            EndpointError: the endpoint cannot be asked.
            ModelError: the model cannot be asked.
            SpentError: the limit of cost is reached.
        """
        path = self._path(name, question)
        kept = _read(path)
        if kept is not None:
            return Said(kept, "", cached=True)
        self.budget.check()
        try:
            text = self.engine.answer(question, self.picture if shown else None)
        except AnswerError as error:
            return Said("", error.code, cached=False)
        _keep(path, text)
        return Said(text, "", cached=False)

    def _path(self, name: str, question: str) -> Path:
        prompt = hashlib.sha256(question.encode()).hexdigest()
        parts = [self.image_sha256, self.picture.sha256, name, self.engine.id, prompt]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        return weights.cache_folder() / "vqa" / key[:2] / f"{key}.json"


def _read(path: Path) -> str | None:
    try:
        text = json.loads(path.read_text("utf-8"))["text"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return text if isinstance(text, str) else None


def _keep(path: Path, text: str) -> None:
    """Written beside and renamed, so that a reader never sees half; a read-only cache is fine."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps({"text": text}), "utf-8")
        half.replace(path)
    except OSError as error:
        log.info("an answer is not kept: %s", type(error).__name__)
