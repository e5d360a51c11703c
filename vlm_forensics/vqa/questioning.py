"""Asking all there is to ask about one picture: cheap probes first, and no more than is needed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from vlm_forensics.endpoint import Usage
from vlm_forensics.errors import EndpointError, ModelError, VlmfError
from vlm_forensics.report import Judgement, ProbeRecord, Vqa
from vlm_forensics.steps import Steps
from vlm_forensics.taxonomy import Verdict
from vlm_forensics.vqa import judging, routing
from vlm_forensics.vqa.aggregation import ask_probe
from vlm_forensics.vqa.asking import Asker
from vlm_forensics.vqa.probes import ProbeSet, by_cost
from vlm_forensics.vqa.routing import Route

log = logging.getLogger(__name__)

HOPELESS = 4
"""Probes in a row from the first on without a readable answer, after which no more is asked."""

Stopped = Literal["settled", "asked_all", "unreadable", "engine_failed"]


@dataclass
class Questioned:
    """What was asked and answered so far."""

    route: Route | None = None
    records: list[ProbeRecord] = field(default_factory=list)
    stopped: Stopped = "asked_all"
    judgements: list[Judgement] = field(default_factory=list)
    failure: VlmfError | None = None
    """Why the engine could not go on."""

    @property
    def unparsed(self) -> int:
        """Answers that could not be read."""
        return sum(a.status == "unparsed" for record in self.records for a in record.answers)

    def as_record(self, engine: str, judge: str, used: Usage) -> Vqa:
        """The part of the report."""
        assert self.route is not None
        return Vqa(
            engine=engine, judge=judge, sets=tuple(s.name for s in self.route.sets),
            chosen_by=self.route.chosen_by, probes=tuple(self.records), stopped=self.stopped,
            judgements=tuple(self.judgements), unparsed=self.unparsed, input_tokens=used.input,
            output_tokens=used.output, uncounted=used.uncounted,
        )  # fmt: skip


def question(asker: Asker, route: Route | None, judge: Asker | None, steps: Steps) -> Questioned:
    """Asks and judges.

    An engine that fails before it gave any answer raises: nothing was examined. Later it ends the
    questions; what was answered is kept, and `failure` says why.

    Args:
        asker: of the engine that sees the picture.
        route: sets that a user named; None lets the engine choose.
        judge: a language model beside the rule.
        steps: of the run.

    Raises:
        EndpointError: the endpoint cannot be asked at all.
        ModelError: the model cannot be asked at all.
    """
    found = Questioned()
    begun = time.perf_counter()
    stage = "route"
    try:
        with steps(stage):
            found.route = route or routing.route(asker)
        begun, stage = time.perf_counter(), "probes"
        with steps(stage):
            _ask_all(asker, found.route.sets, found)
        begun, stage = time.perf_counter(), "judge"
        with steps(stage):
            _judge(judge, found)
    except (EndpointError, ModelError) as error:
        if not found.records:
            raise
        log.warning("%s failed: %s", stage, error.message)
        steps.fail(stage, error.code, time.perf_counter() - begun)
        found.failure = error
        found.stopped = "engine_failed"
        found.judgements = [judging.by_rule(found.records)]
    return found


def _ask_all(asker: Asker, sets: Sequence[ProbeSet], found: Questioned) -> None:
    for group in by_cost(sets):
        for name, probe in group:
            found.records.append(ask_probe(asker, name, probe))
            if _hopeless(found.records):
                found.stopped = "unreadable"
                return
        if judging.by_rule(found.records).verdict is not Verdict.INCONCLUSIVE:
            found.stopped = "settled"
            return


def _hopeless(records: Sequence[ProbeRecord]) -> bool:
    return len(records) >= HOPELESS and all(record.state == "unparsed" for record in records)


def _judge(judge: Asker | None, found: Questioned) -> None:
    found.judgements.append(judging.by_rule(found.records))
    # Nothing that a language model says could lift an inconclusive verdict, so it is not asked.
    if judge is not None and found.judgements[0].verdict is not Verdict.INCONCLUSIVE:
        found.judgements.append(judging.by_model(judge, found.records))
