"""Questions to a vision-language model, put to dataset pictures like any other detector.

What it does not answer is wrong and never dropped. The model cannot be looked into, so the
baselines beside it are those of the built-in model on the same form of the same picture.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Self

from vlm_forensics import assembly, prompts
from vlm_forensics.calibration import CLASSES
from vlm_forensics.datasets.base import Sample
from vlm_forensics.endpoint import HOPELESS
from vlm_forensics.errors import EndpointError, InputError, ModelError, SpentError, WeightsError
from vlm_forensics.evaluation.judge import Judge, explained, opened
from vlm_forensics.evaluation.judged import Explained, Judged, Look
from vlm_forensics.image import EvidenceImage
from vlm_forensics.report import Report
from vlm_forensics.taxonomy import Verdict
from vlm_forensics.vqa import calibrated, judging, truthlens
from vlm_forensics.vqa.answers import Unparsed
from vlm_forensics.vqa.calibrated import AnswerFile
from vlm_forensics.vqa.examiner import VqaExaminer
from vlm_forensics.vqa.truthlens import TruthLens

_ABSENT = frozenset({"model_not_found", "weights_missing", "weights_unreachable"})


@dataclass(frozen=True, slots=True)
class Way:
    """How pictures are judged."""

    asks: VqaExaminer | TruthLens
    name: str
    """Id of the model that sees the pictures."""
    how: str
    """Judge, probe sets and calibration, for a reader."""
    digest: str
    """Over models, prompts, probes, rule and calibration: all that decides."""
    calibrated: bool = False
    """It gives probabilities."""

    @classmethod
    def of_examiner(
        cls, asks: VqaExaminer, engine: str, judge: str | None, sets: tuple[str, ...] | None,
        calibration: AnswerFile | None,
    ) -> Self:  # fmt: skip
        """The probes of this package.

        Args:
            asks: them.
            engine: id of the model that sees the pictures.
            judge: id of the language model as judge, if there is one.
            sets: probe sets; None where the model chooses.
            calibration: that judges in the rule's place.
        """
        numbers = None if calibration is None else calibration.as_record().model_dump()
        first = f"calibration {numbers['id']}" if numbers else "a rule set by hand"
        which = f"probe sets {', '.join(sets)}" if sets else "probe sets as the model chooses"
        how = f"{which}, judged by {first}{f' and {judge}' if judge else ''}"
        said = calibrated.used(sets)
        if judge:
            said |= {"judge": judge, judging.JUDGE: prompts.load(judging.JUDGE).sha256}
        digest = _digest([engine, said, judging.THRESHOLDS, numbers])
        return cls(asks, engine, how, digest, calibrated=numbers is not None)

    @classmethod
    def of_truthlens(cls, asks: TruthLens) -> Self:
        """The published protocol."""
        parts = [asks.engine.id, asks.judge.id, truthlens.digests()]
        how = f"nine open questions of TruthLens, judged by {asks.judge.id}"
        return cls(asks, asks.engine.id, how, _digest(parts))


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


class QuestionJudge:
    """Judges samples by asking.

    Args:
        way: how.
        beside: the built-in model for the baselines; None where it cannot be had.
    """

    def __init__(self, way: Way, beside: Judge | None) -> None:
        self.way, self.beside = way, beside

    @classmethod
    def load(cls, way: Way) -> Self:
        """With the built-in model beside it, where that can be had."""
        try:
            return cls(way, Judge.load(assembly.MINI, rationale=False))
        except (WeightsError, ModelError) as error:
            if error.code not in _ABSENT:
                raise
            return cls(way, None)

    def judge(self, sample: Sample, look: Look) -> Judged:
        """What the answers say about this sample in this form.

        Raises:
            EndpointError: no further picture could be asked about either.
            SpentError: the limit of cost is reached.
        """
        given = opened(sample, look)
        if isinstance(given, Judged):
            return given
        found = self._asked(given.data, sample, look)
        found = found.model_copy(update={"calibrated": self.way.calibrated})
        if not look.baselines:
            return found
        if self.beside is None:
            return found.model_copy(update={"facts": given.facts})
        other = self.beside.judge(sample, look._replace(rationale=False))
        numbers = dict(other.baselines) | ({"tuned": other.classes} if other.classes else {})
        return found.model_copy(update={"facts": given.facts, "baselines": numbers})

    def _asked(self, data: bytes, sample: Sample, look: Look) -> Judged:
        try:
            image = EvidenceImage.from_bytes(data, sample.path.name)
            if isinstance(self.way.asks, TruthLens):
                return _of_opinion(self.way.asks.opinion(image))
            return self._of_report(self.way.asks.examine(image).report, sample, look, image)
        except (EndpointError, ModelError, InputError) as error:
            if error.code in HOPELESS:
                raise
            return Judged(failed=error.code)

    def _of_report(
        self, report: Report, sample: Sample, look: Look, image: EvidenceImage
    ) -> Judged:
        asked = report.vqa
        if asked is not None and asked.stopped in {"engine_failed", "cost_limit"}:
            reason = report.reasons[0]
            if asked.stopped == "cost_limit":
                raise SpentError(reason.code, reason.message, hint="repeat the command to go on")
            if reason.code in HOPELESS:
                raise EndpointError(reason.code, reason.message, hint="repeat the command to go on")
            return Judged(failed=reason.code)
        shape = (image.rgb.shape[0], image.rgb.shape[1])
        real, synthetic, tampered = (report.classes.get(str(label), 0.0) for label in CLASSES)
        return Judged(
            verdict=report.verdict,
            classes=(real, synthetic, tampered) if report.classes else None,
            score=None if report.classes else report.score,
            parse_status=report.parse_status,
            explained=explained(report, sample, look.view, shape) if look.rationale else None,
        )  # fmt: skip


def _of_opinion(opinion: truthlens.Opinion | Unparsed) -> Judged:
    if isinstance(opinion, Unparsed):
        return Judged(parse_status="unparsed")
    fake = opinion.verdict == "FAKE"
    return Judged(
        verdict=Verdict.SYNTHETIC if fake else Verdict.REAL, score=float(fake), parse_status="ok",
        explained=Explained(text=opinion.justification, artifacts=(), region=None),
    )  # fmt: skip
