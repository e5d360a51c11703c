"""One evaluation: datasets in, result out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import vlm_forensics
from vlm_forensics import datasets
from vlm_forensics.calibration import CLASSES
from vlm_forensics.datasets.base import Listing, Sample
from vlm_forensics.errors import InputError
from vlm_forensics.evaluation import (
    baselines,
    explanation_level,
    image_level,
    pixel_level,
    protocols,
    robustness,
    running,
)
from vlm_forensics.evaluation.answers import Answers
from vlm_forensics.evaluation.conditions import CONDITIONS, FILE, SQUARE, WHOLE
from vlm_forensics.evaluation.judged import Case, Look
from vlm_forensics.evaluation.protocols import Protocol
from vlm_forensics.evaluation.questions import QuestionJudge
from vlm_forensics.evaluation.results import Evaluation, Setting, SkippedSample, Table, Value
from vlm_forensics.taxonomy import Label

AS_IS = (
    "--as-is: the dataset's own files were judged. Where the classes differ in format, size or "
    "compression, these figures measure that; see the shortcut probe."
)
ON_VAL = (
    "The model's thresholds and calibration may have been fitted on validation pictures: figures "
    "that include them are optimistic."
)
NO_MASKS = "Questions mark no place: masks of the data are not scored."
NO_BASELINES = (
    "The built-in model cannot be had, so its baselines are missing; vlmf models fetch fetches it."
)
ROBUST_AS_IS = "The robustness grid starts from equalised pictures and is left out with --as-is."


@dataclass(frozen=True, slots=True)
class Request:
    """What to evaluate, and how."""

    data: tuple[Path, ...]
    cache: Path
    model: str = "vlmf-mini"
    questions: QuestionJudge | None = None
    """Asks a vision-language model in the tuned model's place."""
    dataset: str = ""
    """Adapter that reads the folders; empty to find it by their layout."""
    protocol: str = ""
    split: Literal["val", "test", "all"] = "test"
    equalised: bool = True
    rationale: bool = False
    robustness: bool = False
    limit: int | None = None
    """Pictures of each source, label and split."""
    left_out: tuple[str, ...] = ()
    """Sources to leave out of the image level."""
    encoder: str = ""
    workers: int = 1
    fresh: bool = False

    def judged(self, samples: Iterable[Sample], look: Look) -> list[Case]:
        """The samples in one form."""
        return self.run([running.Task(sample, look) for sample in samples])

    def run(self, tasks: Sequence[running.Task]) -> list[Case]:
        """The tasks' cases, in order."""
        return running.judge_all(tasks, self.questions or self.model, self.cache,
                                 workers=self.workers, fresh=self.fresh)  # fmt: skip


class Gathered:
    """The samples of a request, and everything that was left out on the way."""

    def __init__(self, request: Request, protocol: Protocol | None) -> None:
        self.warnings: list[str] = []
        self.skipped: list[SkippedSample] = []
        self.origin: dict[int, str] = {}
        name = self._reader(request, protocol)
        self.listings = [datasets.open_dataset(root, name or None) for root in request.data]
        for root, listing in zip(request.data, self.listings, strict=True):
            self._note(root, listing)
        self.every = [sample for listing in self.listings for sample in listing.samples]
        wanted = [s for s in self.every if request.split in ("all", s.split)]
        if not wanted:
            raise InputError("empty_split", f"no picture belongs to the split {request.split}",
                             hint=f"there are: {_counts(self.listings)}")  # fmt: skip
        self.samples = limited(wanted, request.limit)

    def _reader(self, request: Request, protocol: Protocol | None) -> str:
        if request.dataset or protocol is None:
            return request.dataset
        if protocol.dataset in datasets.names():
            return protocol.dataset
        self.warnings.append(f"No adapter reads {protocol.dataset} itself; "
                             "the folder's layout decides how it is read.")  # fmt: skip
        return ""

    def _note(self, root: Path, listing: Listing) -> None:
        self.origin |= {id(sample): root.name for sample in listing.samples}
        self.skipped += [
            SkippedSample(data=root.name, where=item.where, code=item.code.value, why=item.why)
            for item in listing.skipped
        ]

    def readable(self, cases: Iterable[Case]) -> list[Case]:
        """The cases whose files could be read; the others are noted once as skipped."""
        kept = []
        for case in cases:
            if not case.judged.broken:
                kept.append(case)
                continue
            code, _, why = case.judged.broken.partition(": ")
            self.skip(case.sample, code, why)
        return kept

    def skip(self, sample: Sample, code: str, why: str) -> None:
        """Note that this sample could not be evaluated."""
        found = SkippedSample(data=self.origin[id(sample)], where=sample.id or sample.path.name,
                              code=code, why=why)  # fmt: skip
        if found not in self.skipped:
            self.skipped.append(found)


def _counts(listings: Sequence[Listing]) -> str:
    total: Counter[str] = Counter()
    for listing in listings:
        for split, labels in listing.counts().items():
            total[split] += sum(labels.values())
    return ", ".join(f"{split} {count}" for split, count in sorted(total.items()))


def limited(samples: Iterable[Sample], limit: int | None) -> list[Sample]:
    """The first `limit` samples of every source, label and split."""
    seen: Counter[tuple[str, str, str]] = Counter()
    kept = []
    for sample in samples:
        key = (sample.source, sample.label, sample.split)
        seen[key] += 1
        if limit is None or seen[key] <= limit:
            kept.append(sample)
    return kept


def evaluate(request: Request) -> Evaluation:
    """Judges the pictures of the request and sums up.

    Raises:
        InputError: no such folder, dataset, protocol or split, or no picture can be read.
        VlmfError: the model cannot be used.
    """
    protocol = protocols.load(request.protocol) if request.protocol else None
    gathered = Gathered(request, protocol)
    cases = _image_cases(request, gathered)
    answers = Answers(cases)
    found = image_level.figures(answers)
    tables = image_level.tables(answers, found)
    pictures, cuts = _pictures(request, gathered)
    if pictures:
        tables += pixel_level.tables(pictures, cuts)
        found |= pixel_level.figures(pictures)
    if request.rationale:
        explained = explanation_level.figures(cases, request.encoder)
        found |= {name: figure for name, (figure, _) in explained.items()}
        tables.append(explanation_level.table(explained, cases, request.encoder))
    if request.robustness and request.equalised:
        tables.append(_robustness(request, cases))
    values = {name: Value.of(figure) for name, figure in found.items()}
    if protocol is not None:
        tables.append(protocols.table(protocol, values))
    return Evaluation(
        setting=_setting(request, gathered),
        counts={str(name): int((answers.label == n).sum()) for n, name in enumerate(CLASSES)},
        warnings=(*_warnings(request, gathered), *gathered.warnings),
        figures=values,
        tables=tuple(tables),
        roc=image_level.curves(answers),
        reliability=image_level.reliability_bins(answers),
        failed=dict(sorted(Counter(c.judged.failed for c in cases if c.judged.failed).items())),
        skipped=tuple(gathered.skipped),
    )


def _image_cases(request: Request, gathered: Gathered) -> list[Case]:
    samples = [s for s in gathered.samples if s.source not in request.left_out]
    base = SQUARE if request.equalised else FILE
    look = Look(base, baselines=True, rationale=request.rationale)
    cases = gathered.readable(request.judged(samples, look))
    if not cases:
        raise InputError("empty_dataset", "none of the pictures can be read",
                         hint="vlmf data info shows the layout")  # fmt: skip
    return cases


def _pictures(
    request: Request, gathered: Gathered
) -> tuple[list[pixel_level.Placed], dict[str, int]]:
    """Pictures of the pixel level, and the cuts of single maps from other pictures."""
    if request.questions is not None:
        return [], {}
    masked = {s.source for s in gathered.samples if _masked(s)}
    if not masked:
        return [], {}
    chosen = [s for s in gathered.samples
              if s.source in masked and (_masked(s) or s.label is Label.REAL)]  # fmt: skip
    look = Look(WHOLE if request.equalised else FILE, placement=True)
    cases = gathered.readable(request.judged(chosen, look))
    for case in cases:
        placement = case.judged.placement
        if _masked(case.sample) and placement and not placement.shown.truth:
            gathered.skip(case.sample, "empty_mask", "its mask marks nothing")
    if request.split != "test":
        return pixel_level.placed(cases), {}
    other = limited((s for s in gathered.every if s.split == "val" and _masked(s)), request.limit)
    judged = [case.judged for case in gathered.readable(request.judged(other, look))]
    maps = [one.placement.maps for one in judged if one.placement and one.placement.maps]
    return pixel_level.placed(cases), baselines.best_cuts(maps)


def _masked(sample: Sample) -> bool:
    return sample.label is Label.TAMPERED and sample.has_mask


def _robustness(request: Request, cases: Sequence[Case]) -> Table:
    samples = [case.sample for case in cases]
    if request.rationale:  # the grid is judged without the language model, so is its reference
        cases = request.judged(samples, Look(SQUARE))
    names = [condition.name for condition in CONDITIONS]
    # All at once: worker processes load the model once and not once per condition.
    degraded = request.run([running.Task(s, Look(name)) for name in names for s in samples])
    parts = {name: degraded[n * len(samples) : (n + 1) * len(samples)]
             for n, name in enumerate(names)}  # fmt: skip
    return robustness.table(cases, parts)


def _warnings(request: Request, gathered: Gathered) -> list[str]:
    found = [] if request.equalised else [AS_IS]
    if request.robustness and not request.equalised:
        found.append(ROBUST_AS_IS)
    if request.questions is not None:
        found += [NO_MASKS] * any(map(_masked, gathered.samples))
        found += [NO_BASELINES] * (request.questions.beside is None)
    return found if request.split == "test" else [*found, ON_VAL]


def _setting(request: Request, gathered: Gathered) -> Setting:
    present = {sample.source for sample in gathered.samples}
    asks = request.questions
    return Setting(
        model=Path(request.model).name if asks is None else asks.way.name,
        digest=running.model_digest(request.model) if asks is None else asks.way.digest,
        how="" if asks is None else asks.way.how,
        package=vlm_forensics.__version__,
        data=tuple(root.name for root in request.data),
        datasets=tuple(listing.name for listing in gathered.listings),
        protocol=request.protocol,
        split=request.split,
        view="equalised" if request.equalised else "as is",
        rationale=request.rationale,
        limit=request.limit,
        left_out=tuple(source for source in request.left_out if source in present),
        encoder=request.encoder,
    )
