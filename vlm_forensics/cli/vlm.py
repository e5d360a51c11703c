"""The options that name a vision-language model to ask, and what becomes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vlm_forensics.training_free import TrainingFree
    from vlm_forensics.vqa.engines import Engine
    from vlm_forensics.vqa.examiner import VqaExaminer


class Judge(StrEnum):
    """Who makes a verdict of the answers."""

    RULE = "rule"
    VLM = "vlm"


Folder = Annotated[
    Path | None,
    typer.Option("--vlm", metavar="DIR", file_okay=False,
                 help="Folder of a vision-language model to ask, safetensors."),
]  # fmt: skip
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Endpoint to ask instead, up to and including /v1."),
]
Name = Annotated[
    str | None, typer.Option("--vlm-model", metavar="NAME", help="As the endpoint names the model.")
]
KeyVariable = Annotated[
    str | None,
    typer.Option("--key-env", metavar="VAR", help="The environment variable that holds the key."),
]
Probes = Annotated[
    str | None,
    typer.Option("--probes", metavar="SETS",
                 help="Sets of questions to ask, such as faces,scene; else those that fit."),
]  # fmt: skip
JudgedBy = Annotated[
    Judge, typer.Option("--judge", help="The rule alone, or the model beside it, which must agree.")
]

Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0.1, help="For one answer of the endpoint."),
]

Extra = Annotated[
    str | None,
    typer.Option("--extra", metavar="JSON", help="Fields of its requests to add; null removes."),
]

Jobs = Annotated[
    int | None, typer.Option("--jobs", min=1, max=64, help="Its requests at a time.  [default: 4]")
]
Rate = Annotated[
    float | None, typer.Option("--rate", min=0.01, help="Its requests a minute at most.")
]

Reals = Annotated[
    Path | None,
    typer.Option("--reals", metavar="FILE", dir_okay=False,
                 help="Without a tuned model, compare with the photographs of vlmf calibrate."),
]  # fmt: skip


@dataclass(frozen=True)
class Vlm:
    """What the user said about it."""

    folder: Path | None
    url: str | None
    name: str | None
    key_env: str | None
    probes: str | None
    judge: Judge
    timeout: float | None
    extra: str | None
    jobs: int | None
    rate: float | None
    reals: Path | None

    @property
    def given(self) -> bool:
        """There is one to ask."""
        return self.folder is not None or self.url is not None

    @property
    def sets(self) -> list[str] | None:
        """Names in `--probes`."""
        if self.probes is None:
            return None
        return [name.strip() for name in self.probes.split(",")]

    def check(self, *, offline: bool) -> None:
        """Refuses options that do not go together.

        Raises:
            typer.BadParameter: with the way out.
        """
        problems = (
            (self.folder and self.url, "--vlm and --url name two models; give one"),
            (bool(self.url) != bool(self.name), "--url and --vlm-model go together"),
            (self.url and offline, "--offline forbids the endpoint of --url"),
            (self.probes is not None and not self.given, "--probes needs --vlm or --url"),
            (self.judge is Judge.VLM and not self.given, "--judge vlm needs --vlm or --url"),
            *(
                (value is not None and not self.url, f"{option} is for the endpoint of --url")
                for option, value in self._of_endpoints.items()
            ),
            _unknown(self.sets),
        )
        request_fields(self.extra)
        for wrong, message in problems:
            if wrong:
                raise typer.BadParameter(message)

    @property
    def _of_endpoints(self) -> dict[str, object]:
        return {"--key-env": self.key_env, "--timeout": self.timeout, "--extra": self.extra,
                "--jobs": self.jobs, "--rate": self.rate}  # fmt: skip

    def examiner(self, *, offline: bool) -> VqaExaminer:
        """Asks it; without one, measures only.

        Raises:
            InputError: the file of `--reals` cannot be used.
            EndpointError: endpoint_bad_url, endpoint_no_key.
            WeightsError: a file of the folder is missing, damaged or not safe to load.
            ModelError: the folder holds no model that can be asked.
        """
        from vlm_forensics.vqa.examiner import VqaExaminer

        engine = self._engine() if self.given else None
        judge = engine if self.judge is Judge.VLM else None
        return VqaExaminer(engine, sets=self.sets, judge=judge, scores=self._scores(offline))

    def _scores(self, offline: bool) -> TrainingFree | None:
        if self.reals is None:
            return None
        from vlm_forensics.training_free import TrainingFree

        return TrainingFree.load(self.reals, offline=offline)

    def _engine(self) -> Engine:
        from vlm_forensics.vqa.engines import EndpointEngine, LocalEngine

        if self.folder is not None:
            return LocalEngine.load(self.folder)
        from vlm_forensics.endpoint import Access, read_key

        assert self.url is not None
        assert self.name is not None
        access = Access(read_key(self.key_env) if self.key_env else "", per_minute=self.rate)
        access = replace(access, timeout=self.timeout or access.timeout,
                         connections=self.jobs or access.connections)  # fmt: skip
        return EndpointEngine(self.url, self.name, access, request_fields(self.extra))


def request_fields(extra: str | None) -> dict[str, Any]:
    """The JSON object of `--extra`.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        fields = json.loads(extra or "{}")
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise typer.BadParameter('give a JSON object, such as {"top_p": 0.9}', param_hint="--extra")
    return fields


def _unknown(sets: list[str] | None) -> tuple[bool, str]:
    """Whether a set is named that there is not, and what there is."""
    if sets is None:
        return False, ""
    from vlm_forensics.vqa import probes

    known = probes.names()
    return not set(sets) <= set(known), f"--probes: there are {', '.join(known)}"
