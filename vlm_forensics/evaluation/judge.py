"""One detector at work on dataset pictures, each given to it as the file of a user would be."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_forensics import masks
from vlm_forensics.calibration import CLASSES
from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.equalise import centre_square, take
from vlm_forensics.datasets.pixels import DECODE_ERRORS, decoding_fault, read_mask, read_pixels
from vlm_forensics.detector import Detector, Examination
from vlm_forensics.errors import VlmfError
from vlm_forensics.evaluation import baselines, conditions
from vlm_forensics.evaluation.judged import Explained, Judged, Look, Placement
from vlm_forensics.evaluation.masks import Overlap
from vlm_forensics.evaluation.metrics import auc
from vlm_forensics.image import EvidenceImage
from vlm_forensics.report import Report
from vlm_forensics.training_free.disturbance import moved_in
from vlm_forensics.training_free.scores import Material, measured


class Judge:
    """A detector, and a look at what its adapter reads on the way.

    Args:
        detector: asks the language model for every picture, or never.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._tapped: baselines.Tapped = {}

    @classmethod
    def load(cls, model: str | Path, *, rationale: bool) -> Self:
        """The judge of this model."""
        # Torch's network can be looked into on the way, OpenCV's cannot.
        judge = cls(Detector.from_pretrained(model, rationale=rationale, light=False))
        # The engine is private; a public observer of the detector would serve this better.
        engine: Any = judge.detector._engine
        if hasattr(engine, "model"):  # a probe has no adapter to look into
            engine.model.adapter.register_forward_hook(judge._tap)
        return judge

    def _tap(self, adapter: Any, inputs: Any, output: Any) -> None:
        self._tapped = baselines.tap(adapter, inputs[0][-1], output)

    def judge(self, sample: Sample, look: Look) -> Judged:
        """What the detector says about this sample in this form.

        A sample whose files do not decode is `broken`; one that the system refuses although
        they do is `failed`.
        """
        given = opened(sample, look)
        if isinstance(given, Judged):
            return given
        self._tapped = {}
        try:
            found = self.detector.examine(EvidenceImage.from_bytes(given.data, sample.path.name))
        except VlmfError as error:
            return self._failed(sample, look, given.original, error.code)
        if not found.report.classes:
            return self._failed(sample, look, given.original, "model_failed")
        if look.baselines and self._tapped:
            self._tapped |= self._training_free(found.image)
        return self._judged(found, sample, look, given.facts if look.baselines else None)

    def _training_free(self, image: EvidenceImage) -> baselines.Tapped:
        """The scores of this form of the picture, which is not equalised once more."""
        engine: Any = self.detector._engine
        found = measured(Material(image, moved_in(engine, image.rgb)))
        return {name: np.asarray([value]) for name, value in found.items()}

    def _failed(self, sample: Sample, look: Look, original: NDArray[np.uint8], code: str) -> Judged:
        """No answer, and so no mask."""
        if not look.placement:
            return Judged(failed=code)
        height, width = original.shape[:2]
        truth = truth_mask(sample, look.view, (height, width))
        nothing = Overlap.of(truth, np.zeros_like(truth))
        return Judged(failed=code, placement=Placement(
            shown=nothing, regardless=nothing, pixels=truth.size, auc=None, maps={}))  # fmt: skip

    def _judged(
        self, found: Examination, sample: Sample, look: Look,
        facts: dict[str, tuple[float, ...]] | None,
    ) -> Judged:  # fmt: skip
        report = found.report
        names = [str(label) for label in CLASSES]
        real, synthetic, tampered = (report.classes[name] for name in names)
        shape = (found.image.rgb.shape[0], found.image.rgb.shape[1])
        return Judged(
            verdict=report.verdict,
            classes=(real, synthetic, tampered),
            parse_status=report.parse_status,
            facts=facts,
            baselines=baselines.measured(found.image, self._tapped) if look.baselines else {},
            placement=_placement(found, truth_mask(sample, look.view, shape))
            if look.placement else None,
            explained=explained(report, sample, look.view, shape) if look.rationale else None,
        )  # fmt: skip


class Opened(NamedTuple):
    """A sample that can be read, and the file that a judge is given for it."""

    original: NDArray[np.uint8]
    """`[H, W, 3]`, stored grid."""
    stored: bytes
    data: bytes
    """In the form of the look."""

    @property
    def facts(self) -> dict[str, tuple[float, ...]]:
        """Facts of both files."""
        found = {"before": self.stored, "after": self.data}
        return {when: tuple(baselines.file_facts(data)) for when, data in found.items()}


def opened(sample: Sample, look: Look) -> Opened | Judged:
    """The file to judge, or why the dataset's own files cannot be read."""
    try:
        original = read_pixels(sample.path)
        fault = decoding_fault(sample) if look.placement or look.rationale else None
        if fault is not None:
            return Judged(broken=f"{fault.code.value}: {fault.why}")
        stored = sample.path.read_bytes()
    except DECODE_ERRORS as error:
        fault = decoding_fault(sample)
        why = f"{fault.code.value}: {fault.why}" if fault else f"broken_image: {error}"
        return Judged(broken=why)
    data = stored if look.view == conditions.FILE else conditions.render(original, look.view)
    return Opened(original, stored, data)


def truth_mask(sample: Sample, view: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The altered pixels in the grid of the file that the model was given.

    Args:
        sample: with or without a mask; without, nothing is altered.
        view: `SQUARE`, `WHOLE` or `FILE`.
        shape: height and width of that grid.
    """
    if view != conditions.SQUARE:
        return read_mask(sample, *shape)
    height, width = read_pixels(sample.path).shape[:2]
    return _squared(read_mask(sample, height, width))


def _squared(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grey = mask.astype(np.uint8) * np.uint8(255)
    return np.asarray(take(grey, centre_square(*mask.shape)) > 127)


def _placement(found: Examination, truth: NDArray[np.bool_]) -> Placement:
    report, heatmap = found.report, found.heatmap
    shown = masks.decode(report.mask) if report.mask else np.zeros_like(truth)
    heat = np.zeros(truth.shape, np.float32) if heatmap is None else heatmap
    known = bool(truth.any())
    return Placement(
        shown=Overlap.of(truth, shown),
        regardless=Overlap.of(truth, heat >= report.model.thresholds["mask"]),
        pixels=truth.size,
        auc=_defined(auc(truth.ravel(), heat.ravel())),
        maps=baselines.map_scores(found.image, truth) if known else {},
    )


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else value


def explained(report: Report, sample: Sample, view: str, shape: tuple[int, int]) -> Explained:
    """What the report says beyond the verdict; `shape` is that of the file it is about."""
    claims = report.rationale.claims
    boxes = {region.id: region.box for region in report.regions}
    truth = annotated_places(sample, view, shape)
    claimed = np.zeros(shape, bool)
    for claim in claims:
        if claim.region in boxes:
            x0, y0, x1, y1 = boxes[claim.region]
            claimed[y0:y1, x0:x1] = True
    return Explained(
        text=" ".join([report.rationale.summary, *(claim.text for claim in claims)]),
        artifacts=tuple(dict.fromkeys(claim.artifact for claim in claims)),
        region=None if truth is None else Overlap.of(truth, claimed),
    )


def annotated_places(sample: Sample, view: str, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The union of annotated boxes in the grid of the given file, or else the mask.

    Returns:
        None where the dataset names no place.
    """
    if not sample.boxes:
        return truth_mask(sample, view, shape) if sample.has_mask else None
    width, height = _stored_size(sample)
    if view != conditions.SQUARE:
        return _drawn(sample, height, width, shape)
    return _squared(_drawn(sample, height, width, (height, width)))


def _drawn(sample: Sample, height: int, width: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The boxes, given in a grid of `height` × `width`, filled in a grid of `shape`."""
    drawn = np.zeros(shape, bool)
    down, right = shape[0] / height, shape[1] / width
    for box in sample.boxes:
        rows = slice(max(0, round(box.y * down)), max(0, round((box.y + box.height) * down)))
        columns = slice(max(0, round(box.x * right)), max(0, round((box.x + box.width) * right)))
        drawn[rows, columns] = True
    return drawn


def _stored_size(sample: Sample) -> tuple[int, int]:
    """Width and height of the stored grid; decodes the header only."""
    with Image.open(io.BytesIO(sample.path.read_bytes())) as image:
        return image.size
