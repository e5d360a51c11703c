"""`Detector`: an image in, a checked report out.

Example:
    >>> detector = Detector.from_pretrained()  # doctest: +SKIP
    >>> report = detector("photo.jpg")  # doctest: +SKIP
    >>> print(report.verdict, report.probability, report.sentence())  # doctest: +SKIP
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import PIL
from numpy.typing import NDArray

from vlm_forensics import (
    assembly,
    consistency,
    engines,
    fusion,
    masks,
    metadata,
    probe,
    prompts,
    weights,
)
from vlm_forensics.calibration import Calibration, decide
from vlm_forensics.calibration import strength as strength_of
from vlm_forensics.errors import ModelError
from vlm_forensics.features import measure_all
from vlm_forensics.features.base import Measurement
from vlm_forensics.features.clues import clues
from vlm_forensics.features.reference import Reference
from vlm_forensics.image import EvidenceImage
from vlm_forensics.limits import limits
from vlm_forensics.parsing import Answer, Unparsed, parse
from vlm_forensics.rationale import (
    Findings,
    Told,
    claims,
    evidence,
    possible,
    rationale,
    told,
)
from vlm_forensics.report import (
    Claim,
    Consistency,
    Evidence,
    Mask,
    ModelRecord,
    Notice,
    Region,
    Report,
)
from vlm_forensics.steps import Steps
from vlm_forensics.taxonomy import Strength, Verdict

if TYPE_CHECKING:
    from vlm_forensics.engine import Engine, Written
    from vlm_forensics.engines import AnyEngine
    from vlm_forensics.seeing import Seen

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads cost 3x on shared cores
log = logging.getLogger(__name__)

_COMPARED_SIDE = 512
"""Short side of the mask that features are compared with; their maps have at most 512 cells."""

NO_PROMPT = "none"
"""Stands in the model record for the prompt of a model that is given none."""

Source = EvidenceImage | str | Path | bytes


@dataclass(frozen=True, slots=True)
class Examination:
    """One image, its report, and the mask values the report's regions come from."""

    image: EvidenceImage
    report: Report
    heatmap: NDArray[np.float32] | None
    """`[H, W]` in [0, 1], stored grid; None when the model failed or marks no place."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What the language model contributed."""

    written: Written | None = None
    parsed: Answer | Unparsed | None = None

    @property
    def text(self) -> str | None:
        """The text, verbatim."""
        return None if self.written is None else self.written.text


class Detector:
    """Judges images with one model.

    Args:
        folder: a complete model folder with `calibration.json` and `reference.json`: an assembled
            model, or a linear probe, which gives verdict and probability only.
        name: how the report calls the model.
        rationale: ask the language model for claims; without it only vision tower, adapter and
            mask decoder are loaded.
        light: without a rationale, do without torch where that is possible.
    """

    def __init__(
        self, folder: Path, name: str, *, rationale: bool = True, light: bool = True
    ) -> None:
        self._folder, self._name, self._rationale = folder, name, rationale
        try:
            self._calibration = Calibration.load(folder / "calibration.json")
            self._reference = Reference.load(folder / "reference.json")
        except (OSError, ValueError) as error:
            raise ModelError(
                "model_config_invalid", f"{name} has no usable calibration",
                hint="fit one with training/, or fetch the model again",
            ) from error  # fmt: skip
        self._probe = probe.is_probe(folder)
        self._loading = engines.start_loading(folder, rationale=rationale, light=light)

    @classmethod
    def from_pretrained(
        cls, model: str | Path = assembly.MINI, *, rationale: bool = True, light: bool = True,
        offline: bool = False,
    ) -> Detector:  # fmt: skip
        """The built-in default by name, or the model in a folder.

        The weights are read in the background while the first image is measured.

        Raises:
            ModelError: there is no such model, or it lacks its calibration.
            WeightsError: base weights are missing, damaged or out of reach.
        """
        folder = assembly.model_folder(model, offline=offline)
        return cls(folder, str(model), rationale=rationale, light=light)

    def __call__(self, image: Source) -> Report:
        """The report on one image: an `EvidenceImage`, a path, or the file's bytes.

        Raises:
            InputError: the image was refused.
            VlmfError: the model cannot be used.
        """
        return self.examine(_evidence_image(image)).report

    def batch(self, images: Iterable[Source]) -> Iterator[Report]:
        """Reports in order; an image that is refused raises when its turn comes."""
        for image in images:
            yield self(image)

    @cached_property
    def _engine(self) -> AnyEngine:
        return self._loading.result()

    @property
    def _writer(self) -> Engine | None:
        """The engine of a model that can write and is asked to."""
        if not self._rationale or self._probe:
            return None  # before the import, which brings torch
        from vlm_forensics.engine import Engine

        return self._engine if isinstance(self._engine, Engine) else None

    @cached_property
    def _record(self) -> ModelRecord:
        digests = dict(weights.digests(self._folder))
        name = NO_PROMPT
        if not self._probe:
            prompt = prompts.load(prompts.EXPLAIN)
            name, digests[f"prompts/{prompt.name}"] = prompt.name, prompt.sha256
        return ModelRecord(
            id=self._name, digests=digests, prompt=name, calibration=self._calibration.id,
            thresholds=self._calibration.thresholds(), seed=0, dtype=self._engine.dtype,
            device=self._engine.device, versions=self._engine.versions() | _versions(),
        )  # fmt: skip

    def examine(self, image: EvidenceImage) -> Examination:
        """The report on one image together with its heat map."""
        steps = Steps()
        with steps("features"):
            measurements = measure_all(image)
        with steps("load model") as failed:
            engine = self._engine
        if failed:
            raise ModelError("model_unsupported", f"{self._name} cannot be loaded",
                             hint="vlmf models info --check")  # fmt: skip
        with steps("detect") as failed:
            seen = engine.see(image.rgb)
        if failed:
            return Examination(image, self._failed(image, measurements, steps), None)
        return self._examined(image, measurements, seen, steps)

    def _examined(
        self, image: EvidenceImage, measurements: dict[str, Measurement], seen: Seen, steps: Steps
    ) -> Examination:
        marks = seen.heatmap is not None
        clones = measurements.get("copy_move") if marks else None
        blank = np.zeros(image.rgb.shape[:2], np.float32)
        own = blank if seen.heatmap is None else seen.heatmap
        heatmap = fusion.with_clones(own, clones)
        inside = self._compared(heatmap)
        with steps("compare"):
            found = clues(measurements, inside, self._reference)
        signals = fusion.signals(found, own, seen.operations)
        fused = self._calibration.fused(seen.class_logits, signals)
        classes = self._calibration.probabilities(fused)
        operations = possible(
            self._calibration.operations(seen.operations, signals), _by_name(classes)
        )
        said = self._ask(
            seen, told(_by_name(classes), operations, found, masks.main_box(inside)), steps
        )
        if (prompted := self._prompted_mask(seen, said, steps)) is not None:
            heatmap = fusion.with_clones(prompted, clones)
        regions = masks.regions(heatmap, self._calibration.mask_threshold, rgb=image.rgb)
        findings = Findings(measurements, found, operations, _by_name(classes), regions,
                            image.rgb.shape[:2])  # fmt: skip
        report = self._report(image, findings, said, heatmap, seen, steps)
        return Examination(image, report, heatmap if marks else None)

    def _compared(self, heatmap: NDArray[np.float32]) -> NDArray[np.bool_]:
        """The marked area, thinned out to what the maps of features can resolve."""
        step = max(1, min(heatmap.shape) // _COMPARED_SIDE)
        return np.asarray(heatmap[::step, ::step] >= self._calibration.mask_threshold)

    def _ask(self, seen: Seen, about: Told, steps: Steps) -> _Said:
        writer = self._writer
        if writer is None:
            why = "the model has no language model" if self._probe else "not asked"
            steps.skip("rationale", why)
            return _Said()
        with steps("rationale") as failed:
            written = writer.explain(seen, about)
        return _Said() if failed else _Said(written, parse(written.text))

    def _prompted_mask(self, seen: Seen, said: _Said, steps: Steps) -> NDArray[np.float32] | None:
        writer = self._writer
        if writer is None or said.written is None:
            return None
        if not (isinstance(said.parsed, Answer) and said.parsed.segmented):
            return None
        with steps("mask from [SEG]") as failed:
            prompted = writer.prompted_mask(seen, said.written.ids)
        return None if failed else prompted

    def _report(
        self, image: EvidenceImage, findings: Findings, said: _Said,
        heatmap: NDArray[np.float32], seen: Seen, steps: Steps,
    ) -> Report:  # fmt: skip
        classes = np.asarray(list(findings.classes.values()))
        inside = heatmap >= self._calibration.mask_threshold
        verdict, reasons, checked = self._verdict(classes, said, inside, heatmap)
        observed = evidence(findings)
        suspected = float(1 - classes[0]) >= self._calibration.claims_from
        objection = _objection(verdict, checked, suspected=suspected)
        kept, dropped = _claims(objection, said, findings, observed)
        shown = seen.heatmap is not None and _marks(verdict, findings.classes)
        regions, mask = _marked(findings, inside, self._calibration, shown=shown)
        if not shown:
            observed = tuple(item.model_copy(update={"region": None}) for item in observed)
        forged = float(1 - classes[0])
        return Report(
            image=image.facts(), verdict=verdict, reasons=reasons, score=seen.score,
            probability=forged, strength=_strength(verdict, classes),
            classes=dict(findings.classes), evidence=observed,
            rationale=rationale(verdict, kept, dropped, said.text, observed),
            regions=regions, mask=mask, provenance=metadata.read(image),
            consistency=None if seen.heatmap is None else checked,
            limits=limits(image, findings.measurements, probe=self._probe), model=self._record,
            steps=steps.done, parse_status=_parse_status(said), created=_now(),
        )  # fmt: skip

    def _verdict(
        self, classes: NDArray[np.float64], said: _Said, inside: NDArray[np.bool_],
        heatmap: NDArray[np.float32],
    ) -> tuple[Verdict, tuple[Notice, ...], Consistency]:  # fmt: skip
        decided, reasons = decide(classes, self._calibration)
        head = Verdict(list(_by_name(classes))[int(np.argmax(classes))])
        text = Verdict(said.parsed.verdict) if isinstance(said.parsed, Answer) else None
        checked = consistency.check(
            head, text, float(inside.mean()), min_area=self._calibration.mask_min_area,
            mask_score=float(heatmap[inside].mean()) if inside.any() else 0.0,
        )  # fmt: skip
        if decided is Verdict.INCONCLUSIVE:
            return decided, tuple(reasons), checked
        lowered, why = consistency.lower(decided, checked)
        return lowered, (*reasons, *why), checked

    def _failed(
        self, image: EvidenceImage, measurements: dict[str, Measurement], steps: Steps
    ) -> Report:
        reason = Notice(code="model_failed", message="The model could not examine this image.")
        verdict = Verdict.INCONCLUSIVE
        return Report(
            image=image.facts(), verdict=verdict, reasons=(reason,), score=None, probability=None,
            strength=None, classes={}, rationale=rationale(verdict, (), (), None, ()), evidence=(),
            regions=(), mask=None, consistency=None, provenance=metadata.read(image),
            limits=limits(image, measurements, probe=self._probe), model=self._record,
            steps=steps.done, parse_status="not_asked", created=_now(),
        )  # fmt: skip


def _evidence_image(image: Source) -> EvidenceImage:
    if isinstance(image, EvidenceImage):
        return image
    if isinstance(image, bytes):
        return EvidenceImage.from_bytes(image)
    return EvidenceImage.open(image)


def _by_name(classes: NDArray[np.float64]) -> dict[str, float]:
    names = (Verdict.REAL, Verdict.SYNTHETIC, Verdict.TAMPERED)
    return {str(name): float(value) for name, value in zip(names, classes, strict=True)}


def _claims(
    objection: str, said: _Said, findings: Findings, observed: tuple[Evidence, ...]
) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    if not isinstance(said.parsed, Answer):
        return (), ()
    found, dropped = claims(said.parsed, findings, observed)
    if objection:
        return (), (*dropped, *(f"{claim.artifact}: {objection}" for claim in found))
    return found, dropped


def _objection(verdict: Verdict, checked: Consistency, *, suspected: bool) -> str:
    """Why no claim may stand; a claim accuses, and a false accusation is the costly error."""
    if verdict is Verdict.REAL or checked.head is Verdict.REAL or checked.text is not checked.head:
        return "head and text do not both say forged"
    if verdict is Verdict.INCONCLUSIVE and not suspected:
        return "the verdict is inconclusive"
    return ""


def _marks(verdict: Verdict, classes: Mapping[str, float]) -> bool:
    """Whether places are marked: where tampering is found, and where it may be, to look at."""
    likelier = classes[Verdict.TAMPERED] >= classes[Verdict.SYNTHETIC]
    return verdict is Verdict.TAMPERED or (verdict is Verdict.INCONCLUSIVE and likelier)


def _marked(
    findings: Findings, inside: NDArray[np.bool_], calibration: Calibration, *, shown: bool
) -> tuple[tuple[Region, ...], Mask | None]:
    if not shown:
        return (), None
    return tuple(findings.regions), masks.encode(inside, calibration.mask_threshold)


def _strength(verdict: Verdict, classes: NDArray[np.float64]) -> Strength | None:
    if verdict is Verdict.INCONCLUSIVE:
        return None
    forged = float(1 - classes[0])
    return strength_of(1 - forged if verdict is Verdict.REAL else forged)


def _parse_status(said: _Said) -> Literal["ok", "repaired", "unparsed", "not_asked"]:
    if said.parsed is None:
        return "not_asked"
    return "unparsed" if isinstance(said.parsed, Unparsed) else said.parsed.status


def _versions() -> dict[str, str]:
    return {"numpy": np.__version__, "pillow": PIL.__version__}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
