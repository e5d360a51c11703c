"""A probability from the probes' states: the file that `vlmf calibrate --data` writes, and its use.

A general model sees signs that are not there, and each model others. So the numbers are fitted on
labelled pictures that the very same model has judged, asked in the very same words; a file that was
made with another model, other prompts or other probes is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from vlm_forensics import prompts
from vlm_forensics.calibration import CLASSES, Calibration, decide
from vlm_forensics.errors import InputError
from vlm_forensics.kept import Kept, KeptPart
from vlm_forensics.report import AnswerCalibration, Judgement, ProbeRecord
from vlm_forensics.taxonomy import Label, Verdict
from vlm_forensics.vqa import aggregation, probes, routing
from vlm_forensics.vqa.pictures import LONGEST
from vlm_forensics.vqa.probes import speaks_for

METHOD: Final = "shares-of-states-1"
"""Changes with `shares`, and with how answers become states."""


class HeldOut(KeptPart):
    """What was measured on pictures that the numbers were not fitted on, by cross-validation."""

    auc: float | None
    """Real against forged."""
    reals_called_forged: float
    forged_called_forged: float
    forged_called_real: float
    inconclusive: float


class AnswerFile(Kept):
    """What `vlmf calibrate --data` found about one model."""

    what: ClassVar[str] = "calibration of answers"
    make: ClassVar[str] = "make it for this model: vlmf calibrate --data DIR"

    schema_version: Literal["1.0"] = "1.0"
    kind: Literal["vqa_answers"] = "vqa_answers"
    package: str
    """Version of vlm_forensics that fitted."""
    created: str
    """UTC time, ISO 8601."""
    method: Literal["shares-of-states-1"] = METHOD
    engine: str
    """Id of the model that answered."""
    sets: tuple[str, ...] | None
    """Probe sets that were named; None where the model chose."""
    digests: dict[str, str]
    """sha256 of every prompt and probe set that could be used, by name."""
    longest: int
    """Pixels of the longer side that the model was shown at most."""
    view: Literal["equalised", "as is"]
    """Form of the pictures."""
    data: tuple[str, ...]
    """Names of the dataset folders."""
    split: str
    pictures: tuple[str, ...]
    """sha256 of the files that were shown."""
    skipped: dict[str, int]
    """Pictures that were left out, by reason."""
    sure: float = Field(ge=0, le=1)
    temperature: float = Field(gt=0)
    bias: tuple[float, float, float]
    abstain_low: float = Field(ge=0)
    abstain_high: float = Field(ge=0)
    counts: dict[str, int]
    """Pictures by label."""
    held_out: HeldOut

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.abstain_low > self.abstain_high:
            raise ValueError("abstain_low must not exceed abstain_high")
        if sum(self.counts.values()) != len(self.pictures):
            raise ValueError("another number of pictures than the labels say")
        return self

    def check(self, engine: str, sets: Sequence[str] | None) -> None:
        """Whether answers of this engine to these sets may be read with it.

        Raises:
            InputError: calibration_mismatch.
        """
        now = used(sets)
        changed = sorted(n for n in now.keys() | self.digests.keys()
                         if now.get(n) != self.digests.get(n))  # fmt: skip
        problems = (
            (self.engine != engine, f"with another model, {self.engine}, and not {engine}"),
            (self.sets != _named(sets), "with other probe sets"),
            (bool(changed), f"with other words: {changed[0] if changed else ''}"),
            (self.longest != LONGEST, "with pictures of another size"),
        )
        for wrong, how in problems:
            if wrong:
                raise InputError("calibration_mismatch", f"the calibration was made {how}",
                                 hint=self.make)  # fmt: skip

    def as_record(self) -> AnswerCalibration:
        """The part that a report holds."""
        numbers = self.model_dump(include=set(AnswerCalibration.model_fields) - {"id"})
        text = self.model_dump_json()
        return AnswerCalibration(id=hashlib.sha256(text.encode()).hexdigest()[:12], **numbers)


def _named(sets: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if sets is None else tuple(dict.fromkeys(sets))


def used(sets: Sequence[str] | None) -> dict[str, str]:
    """sha256 by name of everything that asking these sets may say to a model.

    Args:
        sets: names; None where the model chooses among all.
    """
    names = [*aggregation.PROMPTS, *([routing.ROUTER] if sets is None else [])]
    found = {name: prompts.load(name).sha256 for name in names}
    asked = map(probes.load, probes.names() if sets is None else sets)
    return found | {one.prompt: one.sha256 for one in asked}


def shares(records: Sequence[ProbeRecord], sure: float) -> NDArray[np.float64]:
    """What a probability is made of, `[3]` in the order of `CLASSES`, each in [0, 1].

    The share of absent ones among all probes, and the shares of present ones among those about a
    generated picture and about an altered one. A probe that is not settled lowers them all.
    """
    counted = [r for r in records if r.confidence is not None and r.confidence >= sure]
    absent = sum(record.state == "absent" for record in counted)
    found = [absent / max(1, len(records))]
    for label in (Label.SYNTHETIC, Label.TAMPERED):
        asked = sum(speaks_for(record.artifact) is label for record in records)
        present = sum(record.state == "present" and speaks_for(record.artifact) is label
                      for record in counted)  # fmt: skip
        found.append(present / max(1, asked))
    return np.asarray(found)


def probabilities(
    records: Sequence[ProbeRecord], calibration: AnswerCalibration
) -> dict[str, float]:
    """Calibrated probability of every class, summing to 1; empty where no answer was read."""
    if all(record.state == "unparsed" for record in records):
        return {}
    found = _scaling(calibration).probabilities(shares(records, calibration.sure))
    return {str(label): float(p) for label, p in zip(CLASSES, found, strict=True)}


def judge(records: Sequence[ProbeRecord], calibration: AnswerCalibration) -> Judgement:
    """The judgement in the rule's place: by probability, inconclusive within the band."""
    found = probabilities(records, calibration)
    if not found:
        return Judgement(by="calibration", verdict=Verdict.INCONCLUSIVE, code="unparsed",
                         why="No answer of the vision-language model could be read.")  # fmt: skip
    verdict, reasons = decide([found[str(label)] for label in CLASSES], _scaling(calibration))
    carried = [record.id for record in records if _carries(record, verdict, calibration.sure)]
    code, why = (reasons[0].code, reasons[0].message) if reasons else ("", "")
    return Judgement(by="calibration", verdict=verdict, probes=tuple(carried), code=code, why=why)


def _carries(record: ProbeRecord, verdict: Verdict, sure: float) -> bool:
    if record.confidence is None or record.confidence < sure:
        return False
    if verdict is Verdict.REAL:
        return record.state == "absent"
    return record.state == "present" and str(speaks_for(record.artifact)) == verdict


def _scaling(calibration: AnswerCalibration) -> Calibration:
    return Calibration(
        id=calibration.id, temperature=calibration.temperature, bias=calibration.bias,
        abstain_low=calibration.abstain_low, abstain_high=calibration.abstain_high,
        mask_threshold=0.5,  # this mode marks no place
    )  # fmt: skip


def thresholds(calibration: AnswerCalibration) -> Mapping[str, float]:
    """The named cut points that a report records."""
    return {"sure": calibration.sure, "abstain_low": calibration.abstain_low,
            "abstain_high": calibration.abstain_high}  # fmt: skip
