"""`vlmf calibrate --data`: what the answers of one vision-language model are worth.

Every labelled picture is asked everything, for the shares of `vqa.calibrated` are of all that was
asked. Fitted are a temperature and class biases (`calibration.fit_temperature`), the stated
confidence from which a probe counts, and the band in which nothing is said, so that at most
`ACCUSED` of the real pictures are called forged, on the pictures themselves and by
cross-validation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import vlm_forensics
from vlm_forensics import datasets
from vlm_forensics.calibration import (
    CLASSES,
    AbstainBand,
    Calibration,
    Scaling,
    fit_abstain_band,
    fit_temperature,
)
from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.pixels import DECODE_ERRORS, read_pixels
from vlm_forensics.errors import InputError
from vlm_forensics.evaluation.conditions import equalised_jpeg
from vlm_forensics.evaluation.evaluate import limited
from vlm_forensics.evaluation.metrics import auc
from vlm_forensics.exporting import files
from vlm_forensics.fitting.probe_pictures import tracked
from vlm_forensics.image import EvidenceImage
from vlm_forensics.report import ProbeRecord
from vlm_forensics.steps import Steps
from vlm_forensics.vqa import routing
from vlm_forensics.vqa.asking import Asker
from vlm_forensics.vqa.budget import Budget
from vlm_forensics.vqa.calibrated import AnswerFile, HeldOut, shares, used
from vlm_forensics.vqa.engines import Engine
from vlm_forensics.vqa.pictures import LONGEST, picture
from vlm_forensics.vqa.questioning import question

ACCUSED = 0.05
"""Share of real pictures that may be called forged."""
MISSED = 0.2
"""Share of forged pictures that may be called real."""
LEAST = 25
"""Pictures of either kind: what is left of the reals without one fold must allow `ACCUSED`."""
FOLDS = 5
_EDGE = 1e-9
"""Shares are few and tie: the last bit of a number must not carry all that tie over a line."""
SURE = (0.0, 0.5, 0.7, 0.9)
"""Stated confidences that are tried."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask whom."""

    data: tuple[Path, ...]
    engine: Engine
    sets: tuple[str, ...] | None = None
    """Probe sets; None lets the engine choose what fits each picture."""
    budget: Budget = field(default_factory=Budget)
    dataset: str = ""
    """Adapter that reads the folders; empty to find it by their layout."""
    split: str = "val"
    limit: int | None = None
    """Pictures of each source and label."""
    equalised: bool = True


class Asked(NamedTuple):
    """One picture and what was answered about it."""

    sha256: str
    label: int
    """Index into `CLASSES`."""
    records: tuple[ProbeRecord, ...]


class Fitted(NamedTuple):
    """The numbers that are fitted."""

    sure: float
    scaling: Scaling
    band: AbstainBand


def calibrate(request: Request, out: Path) -> AnswerFile:
    """Asks about every picture, fits, and writes `out`.

    Answers are kept, so an interrupted run goes on when it is repeated.

    Raises:
        InputError: no such folder or dataset, too_few_images, output_conflict, unknown_probes.
        EndpointError: the endpoint cannot be asked.
        ModelError: the model cannot be asked.
        SpentError: the limit of cost is reached.
    """
    AnswerFile.check_output(out)
    skipped: Counter[str] = Counter()
    samples = _samples(request, skipped)
    _check_counts([CLASSES.index(sample.label) for sample in samples], skipped)
    asked = ask_all(samples, request, skipped)
    _check_counts([one.label for one in asked], skipped)
    found = summed_up(asked, request, skipped)
    files.write(out, found.as_file())
    return found


def _samples(request: Request, skipped: Counter[str]) -> list[Sample]:
    listings = [datasets.open_dataset(root, request.dataset or None) for root in request.data]
    for listing in listings:
        skipped.update(item.code.value for item in listing.skipped)
    every = [sample for listing in listings for sample in listing.samples]
    return limited((s for s in every if request.split in ("all", s.split)), request.limit)


def _check_counts(labels: Sequence[int], skipped: Counter[str]) -> None:
    reals = sum(label == 0 for label in labels)
    forged = len(labels) - reals
    if min(reals, forged) >= LEAST:
        return
    why = "; ".join(f"{count} {code}" for code, count in sorted(skipped.items()))
    left_out = f" ({why} left out)" if why else ""
    raise InputError("too_few_images",
                     f"{reals} real and {forged} forged pictures are too few{left_out}",
                     hint=f"at least {LEAST} of either are needed, 100 and more are better"
                     )  # fmt: skip


def ask_all(samples: Sequence[Sample], request: Request, skipped: Counter[str]) -> list[Asked]:
    """The answers about every picture that can be read; what is left out is counted."""
    route = None if request.sets is None else routing.named(request.sets)
    found: dict[str, Asked] = {}
    for sample in tracked(samples, "asking"):
        image = _opened(sample, request.equalised)
        if isinstance(image, str):
            skipped[image] += 1
        elif image.sha256 in found:
            skipped["duplicate"] += 1
        else:
            records = _records(image, request, route)
            if all(record.state == "unparsed" for record in records):
                skipped["unparsed"] += 1
                continue
            label = CLASSES.index(sample.label)
            found[image.sha256] = Asked(image.sha256, label, records)
    return list(found.values())


def _opened(sample: Sample, equalised: bool) -> EvidenceImage | str:
    """The file as the model would be given it, or the code of why there is none."""
    try:
        data = equalised_jpeg(read_pixels(sample.path)) if equalised else sample.path.read_bytes()
        return EvidenceImage.from_bytes(data, sample.path.name)
    except InputError as error:
        return error.code
    except DECODE_ERRORS:
        return "broken_image"


def _records(
    image: EvidenceImage, request: Request, route: routing.Route | None
) -> tuple[ProbeRecord, ...]:
    asker = Asker(request.engine, picture(image), image.sha256, request.budget)
    found = question(asker, route, None, Steps(), exhaustive=True)
    if found.failure is not None:  # half an answer would be fitted as a whole one
        raise found.failure
    return tuple(found.records)


def summed_up(asked: Sequence[Asked], request: Request, skipped: Counter[str]) -> AnswerFile:
    """The calibration of these answers."""
    labels = np.asarray([one.label for one in asked])
    columns = {sure: np.stack([shares(one.records, sure) for one in asked]) for sure in SURE}
    fitted, held_out = fit(columns, labels)
    return AnswerFile(
        package=vlm_forensics.__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        engine=request.engine.id, sets=request.sets, digests=used(request.sets), longest=LONGEST,
        view="equalised" if request.equalised else "as is",
        data=tuple(root.name for root in request.data), split=request.split,
        pictures=tuple(one.sha256 for one in asked), skipped=dict(sorted(skipped.items())),
        sure=fitted.sure, temperature=fitted.scaling.temperature, bias=fitted.scaling.bias,
        abstain_low=fitted.band.low, abstain_high=fitted.band.high,
        counts={str(label): int((labels == n).sum()) for n, label in enumerate(CLASSES)},
        held_out=held_out,
    )  # fmt: skip


def fit(
    columns: dict[float, NDArray[np.float64]], labels: NDArray[np.int64]
) -> tuple[Fitted, HeldOut]:
    """The numbers fitted on all pictures, and what they are worth on pictures left out of a fit.

    Args:
        columns: `[N, 3]` shares by the stated confidence from which a probe counts.
        labels: `[N]` indices into `CLASSES`.
    """
    folds = _folds(labels)
    outside = np.zeros((len(labels), len(CLASSES)))
    for fold in range(FOLDS):
        sure, scaling = _scaling(columns, labels, folds != fold)
        outside[folds == fold] = _probabilities(columns[sure][folds == fold], scaling)
    sure, scaling = _scaling(columns, labels, np.ones(len(labels), bool))
    inside = _probabilities(columns[sure], scaling)
    bands = [fit_abstain_band(1 - p[:, 0], labels == 0, ACCUSED, MISSED)
             for p in (inside, outside)]  # fmt: skip
    band = _joined(bands)
    return Fitted(sure, scaling, band), _held_out(1 - outside[:, 0], labels, band)


def _joined(bands: Sequence[AbstainBand]) -> AbstainBand:
    """The band that keeps the promises of all: few pictures, or a lucky fit, make one too narrow.

    Where `low` meets `high` the missed forgeries set no limit, and the reals alone do.
    """
    high = max(band.high for band in bands) + _EDGE
    limits = [band.low - _EDGE for band in bands if band.low < band.high]
    return AbstainBand(max(0.0, min([high, *limits])), high)


def _folds(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """A fold of every picture, each class spread evenly over them."""
    folds = np.zeros(len(labels), np.int64)
    for label in range(len(CLASSES)):
        own = np.flatnonzero(labels == label)
        folds[own] = np.arange(len(own)) % FOLDS
    return folds


def _scaling(
    columns: dict[float, NDArray[np.float64]], labels: NDArray[np.int64], kept: NDArray[np.bool_]
) -> tuple[float, Scaling]:
    """The confidence and the scaling with the least negative log-likelihood."""
    tried = {sure: fit_temperature(x[kept], labels[kept]) for sure, x in columns.items()}

    def loss(sure: float) -> float:
        return _loss(_probabilities(columns[sure][kept], tried[sure]), labels[kept])

    best = min(tried, key=loss)
    return best, tried[best]


def _loss(p: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return -float(np.log(p[np.arange(len(labels)), labels]).mean())


def _probabilities(x: NDArray[np.float64], scaling: Scaling) -> NDArray[np.float64]:
    neutral = Calibration(id="", **scaling._asdict(), abstain_low=0.0, abstain_high=1.0,
                          mask_threshold=0.5)  # fmt: skip
    return neutral.probabilities(x)


def _held_out(forged: NDArray[np.float64], labels: NDArray[np.int64], band: AbstainBand) -> HeldOut:
    real, called = labels == 0, forged >= band.high
    cleared = ~called & (forged < band.low)
    area = auc(~real, forged)
    return HeldOut(
        auc=None if np.isnan(area) else area,
        reals_called_forged=float(called[real].mean()),
        forged_called_forged=float(called[~real].mean()),
        forged_called_real=float(cleared[~real].mean()),
        inconclusive=float((~called & ~cleared).mean()),
    )
