"""`VqaExaminer`: an image in, a checked report out, with no model that was tuned for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from vlm_forensics import metadata, prompts
from vlm_forensics.calibration import strength
from vlm_forensics.detector import NO_PROMPT, Examination
from vlm_forensics.features import measure_all
from vlm_forensics.features.base import Measurement
from vlm_forensics.image import EvidenceImage
from vlm_forensics.limits import limits
from vlm_forensics.rationale import rationale
from vlm_forensics.report import (
    AnswerCalibration,
    Evidence,
    ModelRecord,
    Notice,
    Report,
    RunMode,
)
from vlm_forensics.steps import Steps
from vlm_forensics.taxonomy import Strength, Verdict
from vlm_forensics.vqa import aggregation, calibrated, judging, observations, routing
from vlm_forensics.vqa.asking import Asker
from vlm_forensics.vqa.budget import Budget
from vlm_forensics.vqa.calibrated import AnswerFile
from vlm_forensics.vqa.engines import Engine
from vlm_forensics.vqa.judging import Decision
from vlm_forensics.vqa.pictures import Picture, picture
from vlm_forensics.vqa.questioning import Questioned, question

if TYPE_CHECKING:
    from vlm_forensics.training_free import Assessment, TrainingFree

_MEASURED_ID = "measurements"
_CARRIED_OVER = frozenset({"tiny", "heavy_compression", "grayscale"})
"""Limits of the file that hold whatever examines it."""
_UNCALIBRATED = Notice(
    code="uncalibrated",
    message="The verdict is counted from answers of a general vision-language model, which often "
    "sees signs that are not there, by a rule whose numbers were set by hand. No probability can "
    "be given, and no place is marked.",
)
_CALIBRATED = (
    "The probability was fitted on {counts} pictures that this model judged, of the data that it "
    "was calibrated on; on other kinds of pictures it may be far off. No place is marked."
)
_NO_VLM = Notice(
    code="no_model",
    message="No model examined this image: there are low-level measurements only, and none of them "
    "alone shows a forgery.",
)


class VqaExaminer:
    """Judges images by questions to a vision-language model, or measures them without one.

    Args:
        engine: what is asked; None measures only, and every verdict is inconclusive.
        sets: names of probe sets; None lets the engine choose what fits the picture.
        judge: a language model that must agree with the rule; None for the rule alone.
        scores: training-free scores among photographs of the user's own, as further evidence.
        calibration: fitted on answers of this engine; None for the rule set by hand, which gives
            no probability.
        budget: over engine and judge; None to ask without a limit and without prices.

    Raises:
        InputError: unknown_probes, calibration_mismatch.
    """

    def __init__(
        self, engine: Engine | None, *, sets: Sequence[str] | None = None,
        judge: Engine | None = None, scores: TrainingFree | None = None,
        calibration: AnswerFile | None = None, budget: Budget | None = None,
    ) -> None:  # fmt: skip
        self._engine, self._judge, self._scores = engine, judge, scores
        self._route = None if sets is None else routing.named(sets)
        if calibration is not None and engine is not None:
            calibration.check(engine.id, sets)
        self._calibration = None if calibration is None else calibration.as_record()
        engines = {id(e): e for e in (engine, judge) if e is not None}
        self.budget = budget or Budget(tuple(engines.values()))
        """What all its questions cost so far, and where they stop."""

    def examine(self, image: EvidenceImage) -> Examination:
        """The report on one image; nothing is marked in it.

        Raises:
            EndpointError: the endpoint cannot be asked at all.
            ModelError: the model cannot be asked at all.
            SpentError: the limit of cost was reached before.
        """
        steps = Steps()
        with steps("features"):
            measurements = measure_all(image)
        if self._engine is None:
            report = self._measured(image, measurements, steps)
        else:
            report = self._questioned(self._engine, image, measurements, steps)
        return Examination(image, report, None)

    def _measured(
        self, image: EvidenceImage, measurements: Mapping[str, Measurement], steps: Steps
    ) -> Report:
        assessed = self._assessed(image, steps)
        rows = observations.without_model(image, measurements, assessed)
        reasons = (_NO_VLM,) if assessed is None else (_NO_VLM, assessed.notice)
        nothing = Decision(Verdict.INCONCLUSIVE, reasons, ())
        return _report(
            image, nothing, observations.numbered(rows), Questioned(), steps,
            _limits(image, measurements, None), self._record({}),
        )  # fmt: skip

    def _questioned(
        self, engine: Engine, image: EvidenceImage, measurements: Mapping[str, Measurement],
        steps: Steps,
    ) -> Report:  # fmt: skip
        shown, before = picture(image), self.budget.spent
        judge = Asker(self._judge, shown, image.sha256, self.budget) if self._judge else None
        asker = Asker(engine, shown, image.sha256, self.budget)
        found = question(asker, self._route, judge, steps, self._calibration)
        assessed = self._assessed(image, steps)
        rows = (*observations.of_probes(found.records),
                *observations.without_model(image, measurements, assessed))  # fmt: skip
        report = _report(
            image, _decided(found), observations.numbered(rows), found, steps,
            _limits(image, measurements, shown, self._calibration),
            self._record(_prompts(found)),
        )  # fmt: skip
        judges = self._judge.id if self._judge else found.first.by
        record = found.as_record(engine.id, judges, self.budget.spent.since(before))
        return report.model_copy(update={"vqa": record})

    def _assessed(self, image: EvidenceImage, steps: Steps) -> Assessment | None:
        """Beside the verdict and no part of it: the scores are too weak to turn one."""
        if self._scores is None:
            return None
        with steps("training-free scores") as failed:
            assessed = self._scores.assess(image)
        return None if failed else assessed

    def _record(self, asked: Mapping[str, str]) -> ModelRecord:
        """What ran, with the digests of the prompts that were used."""
        engine = self._engine
        return ModelRecord(
            id=engine.id if engine else _MEASURED_ID,
            digests={**asked, **(engine.digests if engine else {})},
            prompt=aggregation.ASK if engine else NO_PROMPT,
            calibration="; ".join(self._calibrations()) or "none",
            thresholds=self._thresholds() if engine else {}, seed=0,
            dtype=engine.dtype if engine else "none", device=engine.device if engine else "cpu",
            versions={name: version(name) for name in ("torch", "transformers", "numpy", "pillow")},
        )  # fmt: skip

    def _calibrations(self) -> list[str]:
        answers = [f"answers {self._calibration.id}"] if self._calibration else []
        return answers + ([f"reals {_digest(self._scores)}"] if self._scores else [])

    def _thresholds(self) -> dict[str, float]:
        if self._calibration is None:
            return dict(judging.THRESHOLDS)
        return dict(calibrated.thresholds(self._calibration))


def _digest(scores: TrainingFree) -> str:
    return hashlib.sha256(scores.reals.model_dump_json().encode()).hexdigest()[:12]


def _decided(found: Questioned) -> Decision:
    if found.failure is None:
        return judging.decide(found.judgements)
    message = f"The questions ended early: {found.failure.message}."
    reason = Notice(code=found.failure.code, message=message)
    return Decision(Verdict.INCONCLUSIVE, (reason,), ())


def _report(
    image: EvidenceImage, decided: Decision, observed: Sequence[Evidence], found: Questioned,
    steps: Steps, limits: tuple[Notice, ...], model: ModelRecord,
) -> Report:  # fmt: skip
    said = observations.claims(decided.carried_by, found.records, observed)
    classes = found.classes
    forged = 1 - classes[str(Verdict.REAL)] if classes else None
    return Report(
        image=image.facts(), verdict=decided.verdict, reasons=decided.reasons,
        score=judging.score(found.records), probability=forged, classes=classes,
        strength=_strength(decided.verdict, forged),
        rationale=rationale(decided.verdict, said, (), None, observed), evidence=tuple(observed),
        regions=(), mask=None, consistency=None, provenance=metadata.read(image), limits=limits,
        model=model, steps=steps.done, parse_status=_parse_status(found),
        mode=RunMode(asked="vqa", ran="vqa" if found.records else "measurements"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _strength(verdict: Verdict, forged: float | None) -> Strength | None:
    if forged is None or verdict is Verdict.INCONCLUSIVE:
        return None
    return strength(1 - forged if verdict is Verdict.REAL else forged)


def _parse_status(found: Questioned) -> Literal["ok", "repaired", "unparsed", "not_asked"]:
    """`unparsed` if no answer was read, `repaired` if not every one is as the schema asks."""
    statuses = {answer.status for record in found.records for answer in record.answers}
    if not statuses:
        return "not_asked"
    if statuses == {"unparsed"}:
        return "unparsed"
    return "ok" if statuses == {"ok"} else "repaired"


def _limits(
    image: EvidenceImage, measurements: Mapping[str, Measurement], shown: Picture | None,
    calibration: AnswerCalibration | None = None,
) -> tuple[Notice, ...]:  # fmt: skip
    kept = tuple(n for n in limits(image, measurements) if n.code in _CARRIED_OVER)
    if shown is None:
        return kept
    message = f"The model is shown the picture reduced {shown.reduced:.1f} times."
    reduced = Notice(code="reduced", message=message)
    return (_trust(calibration), *((reduced,) if shown.reduced > 1 else ()), *kept)


def _trust(calibration: AnswerCalibration | None) -> Notice:
    """Where the verdict's numbers come from."""
    if calibration is None:
        return _UNCALIBRATED
    counts = ", ".join(f"{count} {label}" for label, count in calibration.counts.items())
    return Notice(code="calibrated_answers", message=_CALIBRATED.format(counts=counts))


def _prompts(found: Questioned) -> dict[str, str]:
    """sha256 of the prompt files that were used, by name."""
    assert found.route is not None
    names = list(aggregation.PROMPTS)
    names += [routing.ROUTER] * (found.route.chosen_by != "user")
    names += [judging.JUDGE] * (len(found.judgements) > 1)
    texts = {f"prompts/{name}": prompts.load(name).sha256 for name in names}
    return texts | {f"prompts/{s.prompt}": s.sha256 for s in found.route.sets}
