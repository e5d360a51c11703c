"""What is kept of one picture in one form: everything the tables need, as one line of JSON."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from vlm_forensics.datasets.base import Sample
from vlm_forensics.evaluation.masks import Overlap
from vlm_forensics.taxonomy import Artifact, Verdict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MapScores(_Part):
    """A single low-level map as a mask."""

    auc: float | None
    otsu: float
    """F1 at Otsu's threshold of this picture's map, which needs no other picture."""
    cuts: tuple[float, ...]
    """F1 at every one of `baselines.MAP_THRESHOLDS`."""


class Placement(_Part):
    """Where the picture was altered and where the model says so; pixels of its grid."""

    shown: Overlap
    """The mask in the report, empty where the report shows none."""
    regardless: Overlap
    """The heat map at the model's threshold, whatever the verdict."""
    pixels: int
    """Of the picture."""
    auc: float | None
    """Of the heat map; None where nothing, or everything, is altered."""
    maps: dict[str, MapScores]


class Explained(_Part):
    """What the report says beyond the verdict."""

    text: str
    """Summary and claims, as a reader gets them."""
    artifacts: tuple[Artifact, ...]
    """Of the claims, each once."""
    region: Overlap | None
    """Places of the claims against annotated places; None where none are annotated."""


class Judged(_Part):
    """One picture in one form."""

    broken: str = ""
    """Code and reason when the dataset's own files cannot be read: no answer was asked for."""
    failed: str = ""
    """Code of the error when the system gave no answer; it counts as wrong."""
    verdict: Verdict = Verdict.INCONCLUSIVE
    classes: tuple[float, float, float] | None = None
    """Calibrated probabilities in the order of `CLASSES`."""
    calibrated: bool = True
    """The system gives probabilities; otherwise only a score, which ranks."""
    score: float | None = None
    """Of a system without probabilities, higher = more forged; None where there is no answer."""
    parse_status: Literal["ok", "repaired", "unparsed", "not_asked"] = "not_asked"
    facts: dict[str, tuple[float, ...]] | None = None
    """`baselines.file_facts` of the dataset's file and of what the model was given."""
    baselines: dict[str, tuple[float, ...]] = {}
    placement: Placement | None = None
    explained: Explained | None = None


class Case(NamedTuple):
    """A sample and what was said about it."""

    sample: Sample
    judged: Judged


class Look(NamedTuple):
    """One form of a picture and what to take down about it."""

    view: str
    """`conditions.SQUARE`, `WHOLE`, `FILE` or the name of a condition."""
    baselines: bool = False
    placement: bool = False
    rationale: bool = False
    """The language model is asked."""
