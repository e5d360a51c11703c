"""Annotating many samples: several at a time, and on where an interrupted run stopped."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.annotating.checking import Check, CheckedClaim, Support
from vlm_forensics.annotating.records import ANNOTATED, Annotation, Records
from vlm_forensics.annotating.teacher import GUESSED, Ledger, Teacher, guess, prompt_digests
from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.pixels import read_mask
from vlm_forensics.endpoint import HOPELESS, Usage
from vlm_forensics.errors import SpentError, VlmfError
from vlm_forensics.features.reference import Reference
from vlm_forensics.forge.dataset.sample import reference
from vlm_forensics.image import EvidenceImage
from vlm_forensics.parsing import compose
from vlm_forensics.taxonomy import Label

Tell = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How claims are kept and how many samples are in work."""

    drop_unsupported: bool = False
    """Answers keep only claims that a measurement supports. Contradicted ones never stay."""
    jobs: int = 4
    known: Reference | None = None
    """Quantiles on real photographs; None for those of the built-in model."""


@dataclass(frozen=True)
class Summary:
    """What a run did, over all samples it was given."""

    outcomes: Mapping[str, int]
    """`annotated` and the codes of failures."""
    support: Mapping[str, int]
    """Claims of annotated samples by what the picture says to them."""
    without_claims: int
    """Annotated forgeries whose answer keeps no claim."""
    left: int
    """Samples that were not tried, because the run stopped."""
    resumed: int
    """Annotated by earlier runs."""
    calls: int
    """Answers asked for by this run."""
    cached: int
    """Answers taken from the cache."""
    input_tokens: int
    output_tokens: int
    uncounted: int
    spent: float | None
    """Cost of this run."""
    total_cost: float | None
    """Cost of all rows; None where one has none."""
    stopped: VlmfError | None
    """Why the run ended early."""

    @property
    def failed(self) -> int:
        """Samples without an annotation that were tried."""
        return sum(self.outcomes.values()) - self.outcomes.get(ANNOTATED, 0)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        stopped = self.stopped and {"code": self.stopped.code, "message": self.stopped.message}
        facts = {name: value for name, value in vars(self).items() if name != "stopped"}
        return facts | {"failed": self.failed, "stopped": stopped}


def annotate(
    samples: Sequence[Sample], out: Path, teacher: Teacher, settings: Settings | None = None,
    tell: Tell | None = None,
) -> Summary:  # fmt: skip
    """Annotates the samples into `out/annotations.jsonl`; never raises for one sample.

    Args:
        samples: with unique ids.
        out: new folder, or that of an earlier run: what stands there is not asked again.
        teacher: who is asked.
        settings: what is kept.
        tell: called after every sample.

    Raises:
        InputError: output_conflict.
        VlmfError: output_unwritable.
    """
    records = Records(out)
    run = _Run(teacher, settings or Settings(), dict(records.rows))
    with records.writing(sample.id for sample in samples), run.started(samples) as futures:
        for done, future in enumerate(as_completed(futures), 1):
            row = future.result()
            if row is not None and row is not records.rows.get(row.id):
                records.add(row)
            if tell:
                tell(done, len(samples))
    tried = [row for sample in samples if (row := run.rows.get(sample.id))]
    return _summary(tried, len(samples), run)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would ask."""

    standing: int
    """Samples that need no question."""
    samples: int
    """Samples that would be asked about."""
    calls: int
    """Questions, if every answer can be used at once; the cache may hold some."""
    input_tokens: int
    output_tokens: int
    cost: float | None
    basis: str
    """What the numbers of tokens stand on."""


def estimate(
    samples: Sequence[Sample], out: Path, teacher: Teacher, settings: Settings | None = None
) -> Estimate:
    """What `annotate` would ask; sends nothing and writes nothing. Arguments as there."""
    records = Records(out)
    run = _Run(teacher, settings or Settings(), records.rows)
    todo = [sample for sample in samples if not run.stands(sample)]
    counted = [row for row in records.rows.values()
               if row.outcome == ANNOTATED and not row.uncounted]  # fmt: skip
    if counted:
        each = Usage(round(sum(row.input_tokens for row in counted) / len(counted)),
                     round(sum(row.output_tokens for row in counted) / len(counted)))  # fmt: skip
        usages, basis = [each] * len(todo), f"the mean of {len(counted)} samples annotated so far"
    else:
        usages = [guess(sample.label, sample.category) for sample in todo]
        basis = GUESSED
    usage = sum(usages, Usage())
    prices = teacher.account.prices
    return Estimate(len(samples) - len(todo), len(todo), 2 * len(todo), usage.input, usage.output,
                    prices.of(usage) if prices else None, basis)  # fmt: skip


class _Run:
    """One run; its methods are called from several threads."""

    def __init__(
        self, teacher: Teacher, settings: Settings, earlier: Mapping[str, Annotation]
    ) -> None:
        self.teacher, self.settings, self.earlier = teacher, settings, earlier
        self.known = settings.known or reference()
        self.rows: dict[str, Annotation] = {}
        """What became of the samples that were tried or stand from before."""
        self.resumed = self.cached = 0
        self.stopped: VlmfError | None = None
        self._lock = threading.Lock()

    @contextmanager
    def started(self, samples: Sequence[Sample]) -> Iterator[list[Future[Annotation | None]]]:
        """All samples in work; those not begun are dropped when the caller fails or leaves."""
        pool = ThreadPoolExecutor(self.settings.jobs, thread_name_prefix="annotate")
        try:
            yield [pool.submit(self.row, sample) for sample in samples]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def row(self, sample: Sample) -> Annotation | None:
        """The row of a sample; None when the run has stopped before it was finished."""
        if self.stopped:
            return None
        ledger = Ledger()
        start = self._start(sample)
        try:
            data = sample.path.read_bytes()
            start |= {"sha256": hashlib.sha256(data).hexdigest(),
                      "key": self._key(sample, data)}  # fmt: skip
            if before := self._standing(sample.id, start["key"]):
                return self._note(before, resumed=1)
            row = self._annotated(sample, data, start, ledger)
        except SpentError as error:
            self._stop(error)
            return None
        except VlmfError as error:
            if error.code in HOPELESS:
                self._stop(error)
                return None
            row = self._failed(start, error.code, error.message, ledger)
        except OSError as error:
            why = f"a file of the sample cannot be read ({type(error).__name__})"
            row = self._failed(start, "unreadable", why, ledger)
        return self._note(row, cached=ledger.cached)

    def _standing(self, name: str, key: str) -> Annotation | None:
        """The annotation of an earlier run, if nothing that decides it has changed."""
        row = self.earlier.get(name)
        return row if row and row.outcome == ANNOTATED and row.key == key else None

    def _annotated(
        self, sample: Sample, data: bytes, start: Mapping[str, Any], ledger: Ledger
    ) -> Annotation:
        image = EvidenceImage.from_bytes(data, sample.path.name)
        mask = _true_mask(sample, image.height, image.width)
        said = self.teacher.explain(image, sample.label, mask, sample.category, ledger)
        checked = [
            self._decided(claim)
            for claim in Check(image, sample.label, mask, self.known).claims(said.claims)
        ]
        return Annotation(
            **start, **self._facts(ledger), outcome=ANNOTATED,
            answer=compose(sample.label, tuple(claim.claim() for claim in checked if claim.kept)),
            parse=said.status, claims=tuple(checked),
        )  # fmt: skip

    def _decided(self, claim: CheckedClaim) -> CheckedClaim:
        unwanted = {Support.CONTRADICTED}
        if self.settings.drop_unsupported:
            unwanted.add(Support.UNSUPPORTED)
        return claim.model_copy(update={"kept": claim.support not in unwanted})

    def _failed(self, start: Mapping[str, Any], code: str, why: str, ledger: Ledger) -> Annotation:
        return Annotation(**start, **self._facts(ledger), outcome=code, why=why)

    def _start(self, sample: Sample) -> dict[str, Any]:
        return {"id": sample.id, "sha256": "", "label": sample.label, "key": "",
                "model": self.teacher.endpoint.model, "seed": self.teacher.seed,
                "prompts": prompt_digests(sample.label)}  # fmt: skip

    def _facts(self, ledger: Ledger) -> dict[str, Any]:
        prices = self.teacher.account.prices
        return {"description": ledger.description, "calls": ledger.calls,
                "attempts": ledger.attempts, "input_tokens": ledger.usage.input,
                "output_tokens": ledger.usage.output, "uncounted": ledger.usage.uncounted,
                "cost": prices.of(ledger.usage) if prices else None}  # fmt: skip

    def stands(self, sample: Sample) -> bool:
        """Whether an earlier run has annotated this sample."""
        try:
            key = self._key(sample, sample.path.read_bytes())
        except OSError:
            return False
        return self._standing(sample.id, key) is not None

    def _key(self, sample: Sample, data: bytes) -> str:
        """Digest of the picture, its truth, the questions, the model and the checks."""
        truth = [*sample.masks, *([sample.original] if sample.original else [])]
        teacher = self.teacher
        blobs = [hashlib.sha256(b).hexdigest() for b in (data, *(t.read_bytes() for t in truth))]
        facts = [blobs, sample.label, sample.category, prompt_digests(sample.label),
                 teacher.endpoint.body((), max_tokens=teacher.max_tokens, seed=teacher.seed,
                                       temperature=teacher.temperature),
                 self.settings.drop_unsupported, asdict(self.known)]  # fmt: skip
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _note(self, row: Annotation, *, resumed: int = 0, cached: int = 0) -> Annotation:
        with self._lock:
            self.rows[row.id] = row
            self.resumed += resumed
            self.cached += cached
        return row

    def _stop(self, error: VlmfError) -> None:
        with self._lock:
            self.stopped = self.stopped or error


def _true_mask(sample: Sample, height: int, width: int) -> NDArray[np.bool_] | None:
    """The altered area of a tampered picture; None where it is not known or not partial.

    Raises:
        VlmfError: broken_mask.
    """
    if sample.label is not Label.TAMPERED or not sample.has_mask:
        return None
    try:
        mask = read_mask(sample, height, width)
    except Exception as error:  # a damaged mask may be an image, a MATLAB file, or neither
        raise VlmfError("broken_mask", f"its mask does not decode ({type(error).__name__})"
                        ) from None  # fmt: skip
    return mask if mask.any() else None


def _summary(rows: Sequence[Annotation], total: int, run: _Run) -> Summary:
    account = run.teacher.account
    good = [row for row in rows if row.outcome == ANNOTATED]
    costs = [row.cost for row in rows if row.cost is not None]
    support = Counter(claim.support.value for row in good for claim in row.claims)
    return Summary(
        outcomes=dict(sorted(Counter(row.outcome for row in rows).items())),
        support={kind.value: support[kind.value] for kind in Support},
        without_claims=sum(row.label is not Label.REAL and not any(c.kept for c in row.claims)
                           for row in good),
        left=total - len(rows), resumed=run.resumed, calls=account.calls, cached=run.cached,
        input_tokens=account.usage.input, output_tokens=account.usage.output,
        uncounted=account.usage.uncounted, spent=account.spent,
        total_cost=sum(costs) if rows and len(costs) == len(rows) else None,
        stopped=run.stopped,
    )  # fmt: skip
