"""Asking all there is to ask about one picture: cheap probes first, and no more than is needed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from vlm_forensics.errors import EndpointError, ModelError, SpentError, VlmfError
from vlm_forensics.report import AnswerCalibration, Judgement, ProbeRecord, Vqa
from vlm_forensics.steps import Steps
from vlm_forensics.taxonomy import Verdict
from vlm_forensics.vqa import calibrated, judging, routing
from vlm_forensics.vqa.aggregation import ask_probe
from vlm_forensics.vqa.asking import Asker
from vlm_forensics.vqa.budget import Spent
from vlm_forensics.vqa.probes import Probe, by_cost
from vlm_forensics.vqa.routing import Route

log = logging.getLogger(__name__)

HOPELESS = 4
"""Probes in a row from the first on without a readable answer, after which no more is asked."""

Stopped = Literal["settled", "asked_all", "unreadable", "engine_failed", "cost_limit"]


@dataclass
class Questioned:
    """What was asked and answered so far."""

    route: Route | None = None
    calibration: AnswerCalibration | None = None
    """Judges in the rule's place. It was fitted on all answers, so all are asked for."""
    records: list[ProbeRecord] = field(default_factory=list)
    stopped: Stopped = "asked_all"
    judgements: list[Judgement] = field(default_factory=list)
    failure: VlmfError | None = None
    """Why the engine could not go on."""

    @property
    def unparsed(self) -> int:
        """Answers that could not be read."""
        return sum(a.status == "unparsed" for record in self.records for a in record.answers)

    @property
    def first(self) -> Judgement:
        """The judgement of what was answered so far, before any language model's."""
        if self.calibration is None:
            return judging.by_rule(self.records)
        return calibrated.judge(self.records, self.calibration)

    @property
    def classes(self) -> dict[str, float]:
        """Calibrated probabilities; empty without a calibration or when asking failed."""
        if self.calibration is None or self.failure is not None:
            return {}
        return calibrated.probabilities(self.records, self.calibration)

    def as_record(self, engine: str, judge: str, spent: Spent) -> Vqa:
        """The part of the report."""
        assert self.route is not None
        used = spent.usage
        return Vqa(
            engine=engine, judge=judge, sets=tuple(s.name for s in self.route.sets),
            chosen_by=self.route.chosen_by, probes=tuple(self.records), stopped=self.stopped,
            judgements=tuple(self.judgements), unparsed=self.unparsed, input_tokens=used.input,
            output_tokens=used.output, uncounted=used.uncounted, cost=spent.cost,
            calibration=self.calibration,
        )  # fmt: skip


def question(
    asker: Asker, route: Route | None, judge: Asker | None, steps: Steps,
    calibration: AnswerCalibration | None = None, *, exhaustive: bool = False,
) -> Questioned:  # fmt: skip
    """Asks and judges.

    An engine that fails before a first probe is answered raises: nothing was examined. Later it
    ends the questions; what was answered is kept, and `failure` says why.

    Args:
        asker: of the engine that sees the picture.
        route: sets that a user named; None lets the engine choose.
        judge: a language model beside the rule.
        steps: of the run.
        calibration: judges in the rule's place.
        exhaustive: ask everything, also where the rule is settled; always so with a calibration.

    Raises:
        EndpointError: the endpoint cannot be asked at all.
        ModelError: the model cannot be asked at all.
        SpentError: the limit of cost was reached before.
    """
    found = Questioned(route, calibration)
    to_the_end = exhaustive or calibration is not None
    stages: tuple[tuple[str, Callable[[], None]], ...] = (
        ("route", lambda: _route(asker, found)),
        ("probes", lambda: _ask_all(asker, found, to_the_end)),
        ("judge", lambda: _judge(judge, found)),
    )
    for name, work in stages:
        _stage(name, work, found, steps)
        if found.failure is not None:
            found.judgements = [found.first]
            spent = isinstance(found.failure, SpentError)
            found.stopped = "cost_limit" if spent else "engine_failed"
            break
    return found


def _stage(name: str, work: Callable[[], None], found: Questioned, steps: Steps) -> None:
    begun = time.perf_counter()
    try:
        with steps(name) as failed:
            work()
        if failed:
            found.failure = ModelError("model_failed", "asking failed unexpectedly", hint="-vv")
    except (EndpointError, ModelError, SpentError) as error:
        log.warning("%s failed: %s", name, error.message)
        steps.fail(name, error.code, time.perf_counter() - begun)
        found.failure = error
    if found.failure is not None and not found.records:
        raise found.failure


def _route(asker: Asker, found: Questioned) -> None:
    if found.route is None:
        found.route = routing.route(asker)


def _ask_all(asker: Asker, found: Questioned, to_the_end: bool) -> None:
    assert found.route is not None
    for group in by_cost(found.route.sets):
        _ask_group(asker, group, found)
        if _hopeless(found.records):
            found.stopped = "unreadable"
            return
        if not to_the_end and judging.by_rule(found.records).verdict is not Verdict.INCONCLUSIVE:
            found.stopped = "settled"
            return


def _ask_group(asker: Asker, group: Sequence[tuple[str, Probe]], found: Questioned) -> None:
    """Asks several probes at a time where the engine takes them; their order stays."""
    at_once = asker.engine.parallel
    with ThreadPoolExecutor(at_once, thread_name_prefix="vlmf-ask") as pool:
        for start in range(0, len(group), at_once):
            if _hopeless(found.records):
                return
            asked = [pool.submit(ask_probe, asker, name, probe)
                     for name, probe in group[start : start + at_once]]  # fmt: skip
            for future in asked:
                found.records.append(future.result())


def _hopeless(records: Sequence[ProbeRecord]) -> bool:
    return len(records) >= HOPELESS and all(record.state == "unparsed" for record in records)


def _judge(judge: Asker | None, found: Questioned) -> None:
    found.judgements.append(found.first)
    # Nothing that a language model says could lift an inconclusive verdict, so it is not asked.
    if judge is not None and found.judgements[0].verdict is not Verdict.INCONCLUSIVE:
        found.judgements.append(judging.by_model(judge, found.records))
