"""The report: one schema for the command line, the Python API, the demo and `vlmf verify`.

All boxes and masks are in the file's stored pixel grid (before EXIF rotation), x to the right and
y down, boxes as half-open `[x0, y0, x1, y1]`.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from vlm_forensics.taxonomy import Artifact, Strength, Verdict

SCHEMA_VERSION: Final = "1.1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Notice(_Part):
    """Something about the file or the run that a reader must know."""

    code: str
    """Stable name, snake_case: `exif_rotated`, `alpha_composited`, `heavy_compression` …"""
    message: str
    """One sentence."""


class ImageFacts(_Part):
    """The file that was examined."""

    name: str
    """Base name as given, control characters removed; `-` for standard input."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)
    format: str
    """Format found in the content (JPEG, PNG …), never from the file name."""
    width: int = Field(ge=1)
    """Stored grid, pixels."""
    height: int = Field(ge=1)
    orientation: int = Field(ge=1, le=8)
    """EXIF orientation (1 = as stored); viewers turn the picture by it, we do not."""
    canonicalisation: str
    """Id of the rule set that turned the file into 8-bit sRGB pixels."""
    notices: tuple[Notice, ...] = ()


class Region(_Part):
    """A place in the image."""

    id: str
    """`r1`, `r2` …"""
    box: tuple[int, int, int, int]
    """`[x0, y0, x1, y1]`, stored grid, half open."""
    area_fraction: float = Field(ge=0, le=1)
    """Share of the image covered by the region's pixels."""
    score: float = Field(ge=0, le=1)
    """Mean mask value inside."""
    reliability: Literal["low", "medium", "high"]
    """How far the place can be trusted: low for flat, saturated or tiny areas."""


class Mask(_Part):
    """The altered area as COCO run lengths (column-major, first run is background)."""

    size: tuple[int, int]
    """`[height, width]`, stored grid."""
    counts: tuple[int, ...]
    threshold: float = Field(ge=0, le=1)
    """Mask values at or above this are in."""
    area_fraction: float = Field(ge=0, le=1)


class Evidence(_Part):
    """One observation made on this image."""

    id: str
    """`e1`, `e2` …"""
    source: str
    """`feature:<name>`, `model:<part>`, `vlm:<probe>`, `training_free:<score>` or `provenance`."""
    text: str
    """One sentence with the measured number in it."""
    value: float | None = None
    unit: str = ""
    unusual: bool = False
    """Outside the range seen on real photographs."""
    region: str | None = None
    """Id of the region it was measured in; None means the whole image."""


class Claim(_Part):
    """One statement of the rationale."""

    artifact: Artifact
    text: str
    region: str | None = None
    """Id of the region; None means a global trace with no single place."""
    evidence: tuple[str, ...]
    """Ids of the evidence that supports it, at least one."""
    corroborated: bool
    """A measurement independent of the model supports it."""


class Rationale(_Part):
    """The explanation. It explains the verdict and never decides it."""

    summary: str
    claims: tuple[Claim, ...] = ()
    text: str | None = None
    """What the language model wrote, verbatim; None when it was not asked."""
    dropped: tuple[str, ...] = ()
    """Claims the model wrote that no evidence supports, with the reason; never findings."""


class Consistency(_Part):
    """Do class head, text and mask say the same?"""

    head: Verdict
    """The verdict of the class head alone, before abstention and this check."""
    text: Verdict | None
    """What the text says; None when it was not asked or could not be parsed."""
    mask: Literal["empty", "local", "whole"]
    """What the mask shows."""
    agree: bool
    notes: tuple[str, ...] = ()


class Provenance(_Part):
    """Metadata claims, shown beside the verdict and never part of it."""

    state: Literal["absent", "present"]
    """Absence is not suspicion: most sharing removes metadata."""
    camera: str = ""
    software: str = ""
    captured: str = ""
    c2pa: Literal["absent", "present_unverified"] = "absent"
    generator_hints: tuple[str, ...] = ()
    """Fields that name an image generator. Anyone can write or remove them."""


class ModelRecord(_Part):
    """Everything needed to repeat the run."""

    id: str
    digests: dict[str, str]
    """sha256 of every weight and configuration file used."""
    prompt: str
    """Name of the prompt file; its sha256 is in `digests`."""
    calibration: str
    """Id of the calibration: method and data."""
    thresholds: dict[str, float]
    seed: int
    dtype: str
    device: str
    versions: dict[str, str]
    stub: bool = False
    """True only for a test double; such a report means nothing."""


class Step(_Part):
    """One stage of the run."""

    name: str
    status: Literal["ok", "failed", "skipped"]
    seconds: float
    message: str = ""


class RunMode(_Part):
    """Which way the verdict came about, and why that one."""

    asked: Literal["auto", "model", "vqa"] = "model"
    ran: Literal["model", "vqa", "measurements"] = "model"
    """A tuned model; questions to a vision-language model; low-level features alone."""
    why: str = ""


class VlmAnswer(_Part):
    """One answer of a vision-language model to one wording of a probe: the text of a stranger."""

    wording: str
    """`plain`, `paraphrase_1` …; `assume_real` and `assume_forged` for opposed hypotheses."""
    status: Literal["ok", "repaired", "unparsed"]
    artifact: Literal["present", "absent", "cannot_tell"] | None
    """None when unparsed: it is never guessed."""
    confidence: float | None = Field(ge=0, le=1)
    """As the model states it; uncalibrated."""
    where: str = ""
    quote: str = ""
    """What the model says it sees."""
    text: str = ""
    """The whole answer without control characters, cut to 2000 characters."""
    why: str = ""
    """Why it is unparsed, or what was repaired."""
    cached: bool = False


class ProbeRecord(_Part):
    """What became of one probe."""

    id: str
    """`<set>.<probe>`."""
    artifact: Artifact
    """What a present sign speaks for."""
    state: Literal["present", "absent", "cannot_tell", "disputed", "unparsed"]
    """`present` and `absent` only where all wordings and the opposed hypothesis agree."""
    confidence: float | None = Field(ge=0, le=1)
    """The lowest of its answers; None when undecided."""
    answers: tuple[VlmAnswer, ...]


class Judgement(_Part):
    """What one judge makes of all probes."""

    by: Literal["rule", "calibration", "vlm"]
    """`calibration` in the rule's place, where one was given."""
    verdict: Verdict
    probes: tuple[str, ...] = ()
    """Ids of the probes that carried it."""
    status: Literal["ok", "repaired", "unparsed"] = "ok"
    code: str = ""
    """Why it is inconclusive, stable name; empty otherwise."""
    why: str = ""
    text: str = ""
    """What a language model wrote as judge, as `VlmAnswer.text`."""


class AnswerCalibration(_Part):
    """How the states of the probes became probabilities; fitted by `vlmf calibrate --data`.

    `p = softmax(z / temperature + bias)`, where z is the share of probes that are absent among all
    that were asked, and the shares that are present among those about a generated picture and
    about an altered one.
    """

    id: str
    """Short digest of the file that holds it."""
    sure: float = Field(ge=0, le=1)
    """Stated confidence from which a probe counts."""
    temperature: float = Field(gt=0, allow_inf_nan=False)
    bias: tuple[float, float, float]
    """Of real, synthetic and tampered."""
    abstain_low: float = Field(ge=0)
    """Probabilities of forgery below this give `real`."""
    abstain_high: float = Field(ge=0)
    """Probabilities of forgery at or above this give `synthetic` or `tampered`."""
    counts: dict[str, int]
    """Pictures it was fitted on, by label."""


class Vqa(_Part):
    """The record of the training-free mode: everything that was asked and answered."""

    engine: str
    judge: str
    """`rule`, or the engine that judges beside the rule."""
    sets: tuple[str, ...]
    """Probe sets that were asked."""
    chosen_by: Literal["user", "router", "fallback"]
    """`fallback`: the router's answer could not be read, so the sets that fit any picture."""
    probes: tuple[ProbeRecord, ...]
    stopped: Literal["settled", "asked_all", "unreadable", "engine_failed", "cost_limit"]
    """Why no more was asked."""
    judgements: tuple[Judgement, ...]
    unparsed: int = Field(ge=0)
    """Answers that could not be read, of all answers."""
    input_tokens: int = Field(ge=0)
    """Of this run; cached answers cost none."""
    output_tokens: int = Field(ge=0)
    uncounted: int = Field(ge=0)
    """Answers whose tokens the engine did not count."""
    cost: float | None = Field(default=None, ge=0)
    """Of these tokens, at the prices given; None without prices or without a count."""
    calibration: AnswerCalibration | None = None
    """None where the rule's own numbers, which were set by hand, gave the verdict."""


class Report(_Part):
    """The answer for one image."""

    schema_version: Literal["1.1"] = SCHEMA_VERSION
    image: ImageFacts
    verdict: Verdict
    reasons: tuple[Notice, ...] = ()
    """Why the verdict is `inconclusive`; empty otherwise."""
    score: float | None
    """Raw forgery score in [0, 1], higher = more forged; None if there is none."""
    probability: float | None
    """Calibrated probability that the image is forged (synthetic or tampered)."""
    strength: Strength | None
    """Word for the probability of the verdict given; None when inconclusive."""
    classes: dict[str, float]
    """Calibrated probability of real, synthetic and tampered; sums to 1, or empty."""
    rationale: Rationale
    evidence: tuple[Evidence, ...]
    regions: tuple[Region, ...]
    mask: Mask | None
    consistency: Consistency | None
    provenance: Provenance
    limits: tuple[Notice, ...]
    """What weakens this verdict: tiny, heavily recompressed, screenshot …"""
    model: ModelRecord
    steps: tuple[Step, ...]
    parse_status: Literal["ok", "repaired", "unparsed", "not_asked"]
    mode: RunMode = RunMode()
    vqa: Vqa | None = None
    """Only of the training-free mode with a vision-language model."""
    created: str
    """UTC time, ISO 8601."""

    def to_json(self, *, indent: int | None = 2) -> str:
        """The report as JSON text, the form `from_json` and `vlmf verify` read."""
        return self.model_dump_json(indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """The report in this JSON text.

        Raises:
            pydantic.ValidationError: not a report of this schema version.
        """
        return cls.model_validate_json(text)

    def sentence(self) -> str:
        """One sentence to copy into a message."""
        if self.verdict is Verdict.INCONCLUSIVE:
            why = "; ".join(reason.message for reason in self.reasons) or "no reason recorded"
            return f"{self.image.name}: inconclusive ({why})"
        strength = self.strength or "uncalibrated"
        evidence = "no evidence of forgery found" if self.verdict is Verdict.REAL else (
            f"{strength} evidence that the image is {self.verdict}")  # fmt: skip
        if self.probability is None:
            return f"{self.image.name}: {evidence} (no calibrated probability, {self.model.id})"
        return (f"{self.image.name}: {evidence} (calibrated probability of forgery "
                f"{self.probability:.0%}, model {self.model.id})")  # fmt: skip


def json_schema() -> dict[str, Any]:
    """JSON Schema of the report, the content of `docs/report.schema.json`."""
    schema: dict[str, Any] = Report.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "vlm_forensics report"
    return json.loads(json.dumps(schema, sort_keys=True))  # type: ignore[no-any-return]
