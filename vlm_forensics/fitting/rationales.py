"""Training rationales for stage B: what the detector sees and measures, and the true answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.datasets.equalise import SIDE
from vlm_forensics.features import measure_all
from vlm_forensics.features.base import Measurement, PixelArray
from vlm_forensics.features.clues import clues, prompt_phrase, reference_row
from vlm_forensics.features.reference import Reference, fit_reference
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.language_stage import Rationale
from vlm_forensics.forge.annotation import claims
from vlm_forensics.model.config import CLASSES, OPERATIONS
from vlm_forensics.model.losses import IGNORE
from vlm_forensics.parsing import ParsedClaim, compose
from vlm_forensics.taxonomy import Label

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


def build(
    corpus: Corpus, index: Sequence[int], predicted: NDArray[np.bool_], known: Reference, out: Path,
    *, seed: int, workers: int,
) -> list[Rationale]:  # fmt: skip
    """Prompt and answer of the pictures in `index` (kept in `out` and re-read).

    Args:
        corpus: the pictures.
        index: which of them.
        predicted: `[len(index), h, w]` the detector's masks; the prompt compares inside and
            outside of these, as at inference, and the answer inside and outside of the true ones.
        known: quantiles on real photographs.
        out: JSON Lines file.
        seed: of the wording.
        workers: processes.
    """
    if not out.is_file():
        pairs = zip(index, predicted, strict=True)
        jobs = [_Job.of(corpus, n, mask, known, seed) for n, mask in pairs]
        with ProcessPoolExecutor(workers) as pool:
            found = list(pool.map(_Job.run, jobs, chunksize=16))
        lines = [json.dumps({"index": int(n), "measured": m, "answer": a})
                 for n, (m, a) in zip(index, found, strict=True)]  # fmt: skip
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    return [Rationale(**row) for row in rows]


class _Job:
    """One picture with what is needed to describe it, sent to a worker process."""

    def __init__(
        self, rgb: NDArray[np.uint8], truth: NDArray[np.bool_], predicted: NDArray[np.bool_],
        label: Label, operation: int, known: Reference, seed: int,
    ) -> None:  # fmt: skip
        self.rgb, self.truth, self.predicted = rgb, truth, predicted
        self.label, self.operation, self.known, self.seed = label, operation, known, seed

    @classmethod
    def of(
        cls, corpus: Corpus, n: int, mask: NDArray[np.bool_], known: Reference, seed: int
    ) -> _Job:
        """The job of sample `n`."""
        label = CLASSES[int(corpus.classes[n])]
        whole = label is Label.SYNTHETIC
        truth = np.ones((SIDE, SIDE), bool) if whole else np.asarray(corpus.masks[n])
        return cls(np.asarray(corpus.rgb[n]), truth, mask, label, int(corpus.operations[n]), known,
                   seed + int(n))  # fmt: skip

    def run(self) -> tuple[str, str]:
        """`(measured, answer)`."""
        import cv2

        measurements = measure(self.rgb)
        inside = cv2.resize(self.predicted.astype(np.uint8), (SIDE, SIDE)) > 0
        measured = prompt_phrase(clues(measurements, inside, self.known))
        said: tuple[ParsedClaim, ...] = ()
        if self.operation != IGNORE and self.label is not Label.REAL and self.truth.any():
            true_clues = clues(measurements, self.truth & ~self.truth.all(), self.known)
            rng = np.random.default_rng(self.seed)
            said = claims(OPERATIONS[self.operation], self.truth, true_clues, rng)
        return measured, compose(self.label, said)
