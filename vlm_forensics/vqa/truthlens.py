"""TruthLens as published: nine open questions about a face, and a language model that judges.

Chakraborty et al. 2025, "TruthLens: A Training-Free Paradigm for DeepFake Detection", arXiv
2503.15342. A vision-language model describes nine matters; a language model reads the labelled
descriptions, without the picture, and answers REAL or FAKE with a justification. Other than there
the questions are in words of our own, the likeliest answer is taken instead of a sampled one, and
what cannot be read is no answer instead of FAKE wherever the word occurs in it.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vlm_forensics import prompts
from vlm_forensics.assets import asset
from vlm_forensics.image import EvidenceImage, printable
from vlm_forensics.vqa.answers import KEPT_TEXT, Unparsed, first_problem, json_object
from vlm_forensics.vqa.asking import Asker, Said
from vlm_forensics.vqa.budget import Budget
from vlm_forensics.vqa.engines import Engine
from vlm_forensics.vqa.pictures import picture

QUESTIONS, ASK, JUDGE = "truthlens.v1", "truthlens_ask.v1", "truthlens_judge.v1"
MAX_TOKENS = 1024
"""Of one description, as published."""
_NOTHING = "no usable answer"


class Opinion(BaseModel):
    """What the judge says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    verdict: Literal["REAL", "FAKE"]
    justification: str


@dataclass(frozen=True, slots=True)
class TruthLens:
    """The protocol with two models, or one as both."""

    engine: Engine
    """Sees the picture."""
    judge: Engine
    """Reads the descriptions."""
    budget: Budget

    def opinion(self, image: EvidenceImage) -> Opinion | Unparsed:
        """The judge's opinion of this picture; never guessed.

        Raises:
            EndpointError: an endpoint cannot be asked.
            ModelError: a model cannot be asked.
            SpentError: the limit of cost is reached.
        """
        shown = picture(image)
        asker = Asker(self.engine, shown, image.sha256, self.budget)
        said = _described(asker)
        if all(one.problem for one in said.values()):
            return Unparsed(next(iter(said.values())).problem)
        lines = [json.dumps({"matter": matter, "description": _quoted(one)})
                 for matter, one in said.items()]  # fmt: skip
        question = prompts.load(JUDGE).render(answers="\n".join(lines))
        judge = Asker(self.judge, shown, image.sha256, self.budget)
        judged = judge.ask("truthlens/judge", question, shown=False)
        return Unparsed(judged.problem) if judged.problem else read(judged.text)


def _described(asker: Asker) -> dict[str, Said]:
    """The answers by matter, several asked at a time where the engine takes them."""
    ask = prompts.load(ASK)

    def one(matter: str, question: str) -> Said:
        return asker.ask(f"truthlens/{matter}", ask.render(question=question))

    questions = prompts.load_wording(QUESTIONS)
    with ThreadPoolExecutor(asker.engine.parallel, thread_name_prefix="vlmf-ask") as pool:
        return dict(zip(questions, pool.map(one, questions, questions.values()), strict=True))


def _quoted(said: Said) -> str:
    return _NOTHING if said.problem else printable(said.text, KEPT_TEXT)


def read(text: str) -> Opinion | Unparsed:
    """The opinion in a text."""
    found = json_object(text)
    if isinstance(found, Unparsed):
        return found
    try:
        return Opinion.model_validate(found.fields)
    except ValidationError as error:
        return Unparsed(first_problem(error))


def digests() -> dict[str, str]:
    """sha256 of everything that is said, by name."""
    questions = asset("prompts", f"{QUESTIONS}.yaml").read_bytes()
    return {QUESTIONS: hashlib.sha256(questions).hexdigest()} | {
        name: prompts.load(name).sha256 for name in (ASK, JUDGE)}  # fmt: skip
