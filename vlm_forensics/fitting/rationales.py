"""Training rationales for stage B: what the detector sees and measures, and the true answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from vlm_forensics import fusion
from vlm_forensics.calibration import Calibration
from vlm_forensics.datasets.equalise import SIDE
from vlm_forensics.features import measure_all
from vlm_forensics.features.base import Measurement, PixelArray
from vlm_forensics.features.clues import Clue, clues, prompt_phrase, reference_row
from vlm_forensics.features.reference import Reference, fit_reference
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.language_stage import Rationale
from vlm_forensics.forge.annotation import claims
from vlm_forensics.masks import main_box
from vlm_forensics.model.losses import IGNORE
from vlm_forensics.model.vocabulary import CLASSES, OPERATIONS
from vlm_forensics.parsing import ParsedClaim, compose
from vlm_forensics.rationale import judged_phrase, possible
from vlm_forensics.taxonomy import Label, Operation

QUALITY = 90
"""Training pictures are measured as files of this quality would be: without their own tables."""


def measure(rgb: NDArray[np.uint8]) -> dict[str, Measurement]:
    """All features of a picture in memory."""
    return measure_all(PixelArray(np.ascontiguousarray(rgb)))


def reference(
    corpus: Corpus, masks: Sequence[int], reals: Sequence[int], workers: int
) -> Reference:
    """Quantiles on real pictures, local ones inside masks borrowed from forgeries."""
    pairs = [(np.asarray(corpus.rgb[r]), np.asarray(corpus.masks[m]))
             for r, m in zip(reals, masks, strict=True)]  # fmt: skip
    with ProcessPoolExecutor(workers) as pool:
        return fit_reference(list(pool.map(_row, pairs, chunksize=16)))


def _row(pair: tuple[NDArray[np.uint8], NDArray[np.bool_]]) -> dict[str, float]:
    return reference_row(measure(pair[0]), pair[1])


@dataclass(frozen=True, slots=True)
class Seen:
    """What stage A says of one picture."""

    class_logits: NDArray[np.float32]  # [3]
    operations: dict[Operation, float]
    heatmap: NDArray[np.float32]  # [SIDE, SIDE] in [0, 1]

    @classmethod
    def of(cls, predicted: Mapping[str, NDArray[np.float32]], n: int) -> Seen:
        """Row `n` of `detection_stage.predict`."""
        shares = softmax(predicted["operation"][n].astype(np.float64)).tolist()
        heatmap = cv2.resize(predicted["mask"][n], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        return cls(predicted["class"][n], dict(zip(OPERATIONS, shares, strict=True)), heatmap)


@dataclass(frozen=True, slots=True)
class Fused:
    """What measuring adds to it."""

    signals: dict[str, float]
    heatmap: NDArray[np.float32]  # [SIDE, SIDE], copies marked


def fuse_all(
    rgb: NDArray[np.uint8], seen: Sequence[Seen], threshold: float, workers: int
) -> list[Fused]:
    """Measures the pictures `[N, SIDE, SIDE, 3]`; features are compared inside `threshold`."""
    from rich.progress import track

    jobs = [(np.asarray(rgb[n]), found, threshold) for n, found in enumerate(seen)]
    with ProcessPoolExecutor(workers) as pool:
        return list(track(pool.map(_fuse, jobs, chunksize=16), "measuring", len(jobs)))


def _fuse(job: tuple[NDArray[np.uint8], Seen, float]) -> Fused:
    rgb, seen, threshold = job
    measurements = measure(rgb)
    heatmap = fusion.with_clones(seen.heatmap, measurements.get("copy_move"))
    found = clues(measurements, heatmap >= threshold, Reference({}, 0))
    return Fused(fusion.signals(found, seen.heatmap, seen.operations), heatmap)


def build(  # noqa: PLR0913 - everything that makes a rationale
    corpus: Corpus, index: Sequence[int], seen: Sequence[Seen], known: Reference,
    calibration: Calibration, out: Path, *, seed: int, workers: int,
) -> list[Rationale]:  # fmt: skip
    """Prompt and answer of the pictures in `index` (kept in `out` and re-read).

    The prompt compares inside and outside of the detector's mask, as at inference, and the answer
    inside and outside of the true one.

    Args:
        corpus: the pictures.
        index: which of them.
        seen: what stage A says of each of these.
        known: quantiles on real photographs.
        calibration: of stage A.
        out: JSON Lines file.
        seed: of the wording.
        workers: processes.
    """
    if not out.is_file():
        pairs = zip(index, seen, strict=True)
        jobs = [_Job.of(corpus, n, found, known, calibration, seed) for n, found in pairs]
        with ProcessPoolExecutor(workers) as pool:
            lines = list(pool.map(_Job.run, jobs, chunksize=16))
        rows = [{"index": int(n), **line} for n, line in zip(index, lines, strict=True)]
        out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read(out)


def read(out: Path) -> list[Rationale]:
    """The rationales that `build` wrote."""
    rows = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    return [Rationale(**row | {"unusual": tuple(row["unusual"])}) for row in rows]


@dataclass(frozen=True, slots=True)
class _Job:
    """One picture with what is needed to describe it, sent to a worker process."""

    rgb: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    seen: Seen
    label: Label
    operation: int
    known: Reference
    calibration: Calibration
    seed: int

    @classmethod
    def of(
        cls, corpus: Corpus, n: int, seen: Seen, known: Reference, calibration: Calibration,
        seed: int,
    ) -> _Job:  # fmt: skip
        """The job of sample `n`."""
        label = CLASSES[int(corpus.classes[n])]
        whole = label is Label.SYNTHETIC
        truth = np.ones((SIDE, SIDE), bool) if whole else np.asarray(corpus.masks[n])
        return cls(np.asarray(corpus.rgb[n]), truth, seen, label, int(corpus.operations[n]), known,
                   calibration, seed + int(n))  # fmt: skip

    def run(self) -> dict[str, Any]:
        """`judged`, `measured`, `answer` and `unusual`."""
        measurements = measure(self.rgb)
        heatmap = fusion.with_clones(self.seen.heatmap, measurements.get("copy_move"))
        inside = heatmap >= self.calibration.mask_threshold
        found = clues(measurements, inside, self.known)
        said: tuple[ParsedClaim, ...] = ()
        true_clues = clues(measurements, self.truth & ~self.truth.all(), self.known)
        if self.operation != IGNORE and self.label is not Label.REAL and self.truth.any():
            rng = np.random.default_rng(self.seed)
            said = claims(OPERATIONS[self.operation], self.truth, true_clues, rng)
        return {
            "judged": self._judged(found, inside),
            "measured": prompt_phrase(found),
            "answer": compose(self.label, said),
            "unusual": sorted({clue.feature for clue in true_clues if clue.unusual}),
        }

    def _judged(self, found: Sequence[Clue], inside: NDArray[np.bool_]) -> str:
        signals = fusion.signals(found, self.seen.heatmap, self.seen.operations)
        fused = self.calibration.fused(self.seen.class_logits, signals)
        shares = self.calibration.probabilities(fused).tolist()
        named = {str(label): share for label, share in zip(CLASSES, shares, strict=True)}
        operations = possible(self.calibration.operations(self.seen.operations, signals), named)
        return judged_phrase(named, operations, main_box(inside))
