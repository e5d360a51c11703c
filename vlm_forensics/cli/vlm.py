"""What becomes of the options that name a vision-language model to ask.

`with_options` gives a command every option of `Asked` or `Vlm`, so that each is declared once.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from vlm_forensics.cli import console
from vlm_forensics.cli.vlm_options import (
    Calibrated,
    Extra,
    Folder,
    Jobs,
    Judge,
    JudgedBy,
    JudgeFolder,
    JudgeKeyVariable,
    JudgeName,
    JudgePriceIn,
    JudgePriceOut,
    JudgeUrl,
    KeyVariable,
    MaxCost,
    Name,
    PriceIn,
    PriceOut,
    Probes,
    Rate,
    Timeout,
    Url,
)

if TYPE_CHECKING:
    from vlm_forensics.spending import Prices
    from vlm_forensics.training_free import TrainingFree
    from vlm_forensics.vqa.budget import Budget
    from vlm_forensics.vqa.engines import Engine
    from vlm_forensics.vqa.examiner import VqaExaminer


@dataclass(frozen=True)
class Place:
    """Where a model is: in a folder or behind an endpoint."""

    folder: Path | None
    url: str | None
    name: str | None
    key_env: str | None
    price_in: float | None
    price_out: float | None
    prefix: str = "--"
    """Of the options that said so."""

    @property
    def given(self) -> bool:
        """There is one."""
        return self.folder is not None or self.url is not None

    def problems(self, *, offline: bool) -> tuple[tuple[object, str], ...]:
        """Options that do not go together, each with what is wrong about them."""
        pre, own = self.prefix, "--vlm-model" if self.prefix == "--" else f"{self.prefix}model"
        of_endpoints = {"key-env": self.key_env, "price-in": self.price_in,
                        "price-out": self.price_out}  # fmt: skip
        return (
            (self.folder and self.url, f"{pre}vlm and {pre}url name two models; give one"),
            (bool(self.url) != bool(self.name), f"{pre}url and {own} go together"),
            (self.url and offline, f"--offline forbids the endpoint of {pre}url"),
            ((self.price_in is None) != (self.price_out is None),
             f"{pre}price-in and {pre}price-out go together"),
            *((value is not None and not self.url, f"{pre}{option} is for the endpoint of {pre}url")
              for option, value in of_endpoints.items()),
        )  # fmt: skip

    @property
    def prices(self) -> Prices | None:
        """Of its tokens."""
        if self.price_in is None or self.price_out is None:
            return None
        from vlm_forensics.spending import Prices

        return Prices(self.price_in, self.price_out)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user said about the model that is shown the pictures."""

    folder: Folder = None
    url: Url = None
    name: Name = None
    key_env: KeyVariable = None
    probes: Probes = None
    timeout: Timeout = None
    extra: Extra = None
    jobs: Jobs = None
    rate: Rate = None
    price_in: PriceIn = None
    price_out: PriceOut = None
    max_cost: MaxCost = None

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.folder, self.url, self.name, self.key_env, self.price_in, self.price_out)

    @property
    def given(self) -> bool:
        """There is one to ask."""
        return self.place.given

    @property
    def endpoint(self) -> bool:
        """Some endpoint is asked."""
        return self.url is not None

    @property
    def priced(self) -> bool:
        """Cost is counted."""
        return self.place.prices is not None

    @property
    def sets(self) -> tuple[str, ...] | None:
        """Names in `--probes`."""
        if self.probes is None:
            return None
        return tuple(name.strip() for name in self.probes.split(","))

    def check(self, *, offline: bool) -> None:
        """Refuses options that do not go together.

        Raises:
            typer.BadParameter: with the way out.
        """
        request_fields(self.extra)
        for wrong, message in self.problems(offline=offline):
            if wrong:
                raise typer.BadParameter(message)

    def problems(self, *, offline: bool) -> tuple[tuple[object, str], ...]:
        """Options that do not go together, each with what is wrong about them."""
        of_endpoints = {"--timeout": self.timeout, "--extra": self.extra, "--jobs": self.jobs,
                        "--rate": self.rate}  # fmt: skip
        return (
            *self.place.problems(offline=offline),
            (self.probes is not None and not self.given, "--probes needs --vlm or --url"),
            *((value is not None and not self.endpoint, f"{option} is for the endpoint of --url")
              for option, value in of_endpoints.items()),
            (self.max_cost is not None and not self.priced,
             "--max-cost needs --price-in and --price-out"),
            _unknown(self.sets),
        )  # fmt: skip

    def engine(self, place: Place | None = None, max_tokens: int | None = None) -> Engine:
        """The model, by default the one that is shown the pictures.

        Raises:
            EndpointError: endpoint_bad_url, endpoint_no_key.
            WeightsError: a file of the folder is missing, damaged or not safe to load.
            ModelError: the folder holds no model that can be asked.
        """
        from vlm_forensics.vqa import engines

        place, longest = place or self.place, max_tokens or engines.MAX_TOKENS
        if place.folder is not None:
            return engines.LocalEngine.load(place.folder, max_tokens=longest)
        from vlm_forensics.endpoint import Access, read_key

        assert place.url is not None
        assert place.name is not None
        access = Access(read_key(place.key_env) if place.key_env else "", per_minute=self.rate)
        access = replace(access, timeout=self.timeout or access.timeout,
                         connections=self.jobs or access.connections)  # fmt: skip
        return engines.EndpointEngine(place.url, place.name, access, request_fields(self.extra),
                                      max_tokens=longest)  # fmt: skip

    def budget(self, *engines: tuple[Engine, Place]) -> Budget:
        """Prices and limit over these engines, each named once or more."""
        from vlm_forensics.vqa.budget import Budget

        apart = {id(engine): engine for engine, _ in engines}
        prices = {engine.id: place.prices for engine, place in engines}
        known = {name: price for name, price in prices.items() if price is not None}
        return Budget(tuple(apart.values()), known, self.max_cost)


@dataclass(frozen=True, kw_only=True)
class Vlm(Asked):
    """What the user said about it, about its judge, and about what its answers are worth."""

    judge: JudgedBy = None
    judge_folder: JudgeFolder = None
    judge_url: JudgeUrl = None
    judge_name: JudgeName = None
    judge_key_env: JudgeKeyVariable = None
    judge_price_in: JudgePriceIn = None
    judge_price_out: JudgePriceOut = None
    calibration: Calibrated = None

    @property
    def judge_place(self) -> Place:
        """Where another judge is."""
        return Place(self.judge_folder, self.judge_url, self.judge_name, self.judge_key_env,
                     self.judge_price_in, self.judge_price_out, "--judge-")  # fmt: skip

    @property
    def endpoint(self) -> bool:
        """Some endpoint is asked."""
        return self.url is not None or self.judge_url is not None

    @property
    def priced(self) -> bool:
        """Cost is counted."""
        return self.place.prices is not None or self.judge_place.prices is not None

    def problems(self, *, offline: bool) -> tuple[tuple[object, str], ...]:
        """Options that do not go together, each with what is wrong about them."""
        other = self.judge_place
        unpriced = [place.prefix for place in (self.place, other) if place.url and not place.prices]
        return (
            *super().problems(offline=offline),
            *other.problems(offline=offline),
            (self.judge is Judge.VLM and not self.given, "--judge vlm needs --vlm or --url"),
            (other.given and not self.given, "a judge needs a model to ask: --vlm or --url"),
            (other.given and self.judge is Judge.RULE, "--judge rule asks no other judge"),
            (self.priced and unpriced,
             f"the cost needs {unpriced[0] if unpriced else ''}price-in and -out too; 0 if free"),
            (self.calibration is not None and not self.given,
             "--calibration needs --vlm or --url"),
        )  # fmt: skip

    def engines(self, max_tokens: int | None = None) -> tuple[Engine, Engine | None, Budget]:
        """The model, its judge if there is to be one, and what they may cost; raises as `engine`.

        Args:
            max_tokens: longest answer; None for that of a probe.
        """
        asked = self.engine(max_tokens=max_tokens)
        if not self.judge_place.given:
            judge = asked if self.judge is Judge.VLM else None
            return asked, judge, self.budget((asked, self.place))
        judge = self.engine(self.judge_place)
        return asked, judge, self.budget((asked, self.place), (judge, self.judge_place))

    def examiner(self, *, offline: bool, reals: Path | None = None) -> VqaExaminer:
        """Asks it; without one, measures only.

        Args:
            offline: use no network for the scores of `reals`.
            reals: file of `vlmf calibrate --reals`.

        Raises:
            InputError: the file of `--reals` or `--calibration` cannot be used.
            EndpointError: endpoint_bad_url, endpoint_no_key.
            WeightsError: a file of the folder is missing, damaged or not safe to load.
            ModelError: the folder holds no model that can be asked.
        """
        from vlm_forensics.vqa.calibrated import AnswerFile
        from vlm_forensics.vqa.examiner import VqaExaminer

        scores = _scores(reals, offline)
        if not self.given:
            return VqaExaminer(None, scores=scores)
        calibration = None if self.calibration is None else AnswerFile.load(self.calibration)
        engine, judge, budget = self.engines()
        return VqaExaminer(engine, sets=self.sets, judge=judge, scores=scores,
                           calibration=calibration, budget=budget)  # fmt: skip


def tell_spent(budget: Budget) -> None:
    """What a run cost, on standard error, where prices were given."""
    spent = budget.spent
    if spent.cost is None:
        return
    usage = spent.usage
    lacking = f"; {usage.uncounted} answers came without a count" if usage.uncounted else ""
    console.note(f"cost of this run: {spent.cost:.4g} ({usage.input} tokens sent, "
                 f"{usage.output} answered{lacking})")  # fmt: skip


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of its parameter of type `Asked` or `Vlm`."""
    signature = inspect.signature(command, eval_str=True)
    kind, own = next(
        (p.annotation, p.name)
        for p in signature.parameters.values()
        if isinstance(p.annotation, type) and issubclass(p.annotation, Asked)
    )
    hints = get_type_hints(kind, include_extras=True)
    options = [inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default,
                                 annotation=hints[f.name]) for f in fields(kind)]  # fmt: skip

    def run(**given: Any) -> None:
        asked = kind(**{option.name: given.pop(option.name) for option in options})
        command(**given, **{own: asked})

    parts = [[p.replace(kind=inspect.Parameter.KEYWORD_ONLY)] if p.name != own else options
             for p in signature.parameters.values()]  # fmt: skip
    every = [parameter for part in parts for parameter in part]
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__annotations__ = {p.name: p.annotation for p in every}
    vars(run)["__signature__"] = signature.replace(parameters=every)
    return run


def _scores(reals: Path | None, offline: bool) -> TrainingFree | None:
    if reals is None:
        return None
    from vlm_forensics.training_free import TrainingFree

    return TrainingFree.load(reals, offline=offline)


def request_fields(extra: str | None) -> dict[str, Any]:
    """The JSON object of `--extra`.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        found = json.loads(extra or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise typer.BadParameter('give a JSON object, such as {"top_p": 0.9}', param_hint="--extra")
    return found


def _unknown(sets: tuple[str, ...] | None) -> tuple[bool, str]:
    """Whether a set is named that there is not, and what there is."""
    if sets is None:
        return False, ""
    from vlm_forensics.vqa import probes

    known = probes.names()
    return not set(sets) <= set(known), f"--probes: there are {', '.join(known)}"
