"""Writes a forged dataset: in parallel, and on where an interrupted run stopped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vlm_forensics import __version__
from vlm_forensics.errors import InputError
from vlm_forensics.forge import get, networks
from vlm_forensics.forge.dataset import card, files, photos, sample
from vlm_forensics.forge.dataset.parallel import outcomes, single_thread
from vlm_forensics.forge.dataset.photos import Photos
from vlm_forensics.forge.dataset.sample import SPLIT, Outcome, Settings

RECORD = "forge.json"
_PROGRESS = ".progress.jsonl"
_METADATA = f"{SPLIT}/metadata.jsonl"


@dataclass(frozen=True)
class Summary:
    """What a run did."""

    made: int
    kept: int
    """Finished by earlier runs."""
    given_up: tuple[int, ...]
    """Samples that no photograph served for."""
    skipped: Counter[str]
    """Photographs tried in vain, by reason."""
    operations: Counter[str]
    others: int
    """Files of the folder that are no photographs."""


def write(
    source: Path, out: Path, settings: Settings, count: int, *, jobs: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Summary:  # fmt: skip
    """Forges `count` samples out of the photographs in `source`.

    The same photographs, settings and package versions give the same bytes, however many
    processes work and however often the run was interrupted.

    Args:
        source: folder of photographs, searched with its subfolders.
        out: a new or empty folder, or that of an earlier run with these settings, which is
            continued or enlarged.
        settings: what decides the samples.
        count: samples in all.
        jobs: processes.
        on_progress: called with (done, total).

    Raises:
        InputError: not_found or no_photos; output_conflict when `out` holds something else.
        WeightsError, PrerequisiteError, ModelError: an operation's network cannot run.
        VlmfError: worker_died, output_unwritable.
    """
    for network in sorted({n for op in settings.operations if (n := get(op).network)}):
        networks.check(network)
    if out.resolve().is_relative_to(source.resolve()):
        raise InputError("output_conflict", "the output lies inside the folder of photographs",
                         hint="its pictures would be taken for photographs next time")  # fmt: skip
    found = photos.find(source)
    run = _Run(out, _record(found, settings))
    done = run.open(count)
    kept = sum(outcome.row is not None for outcome in done.values())
    todo = [n for n in range(count) if n not in done]
    tell = on_progress or _say_nothing
    tell(len(done), count)
    task = partial(sample.make, photos=found, settings=settings, folder=out / SPLIT)
    with run.progress() as keep, single_thread(settings):
        for outcome in outcomes(task, todo, jobs, settings):
            keep(outcome)
            done[outcome.index] = outcome
            tell(len(done), count)
    ordered = [done[n] for n in range(count)]
    _assert_some(ordered)
    run.finish(ordered)
    return _summary(ordered, kept, found)


@dataclass(frozen=True)
class _Run:
    """The output folder and what it holds of earlier runs."""

    out: Path
    record: dict[str, Any]

    def open(self, count: int) -> dict[int, Outcome]:
        """Finished samples by index; starts the folder where it is new."""
        record = self.out / RECORD
        if not record.is_file():
            if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
                raise InputError("output_conflict", f"{self.out.name} holds other files",
                                 hint="give a new folder")  # fmt: skip
            files.write_json(record, {"settings": self.record})
            return {}
        done = self._finished(record)
        if beyond := [n for n in done if n >= count]:
            raise InputError("output_conflict", f"{self.out.name} holds {max(beyond) + 1} samples",
                             hint=f"ask for --n {max(beyond) + 1} or more")  # fmt: skip
        return done

    def _finished(self, record: Path) -> dict[int, Outcome]:
        try:
            known = json.loads(record.read_text(encoding="utf-8"))
            changed = [key for key, value in self.record.items() if known["settings"][key] != value]
        except (ValueError, KeyError, TypeError):
            raise InputError("output_conflict", f"{RECORD} is not that of a forged dataset",
                             hint="give a new folder") from None  # fmt: skip
        if changed:
            raise InputError(
                "output_conflict",
                f"{self.out.name} was begun with other settings ({', '.join(changed)})",
                hint="give the same settings to go on, or a new folder",
            )
        rows = [json.loads(line) for line in files.whole_lines(self.out / _METADATA)]
        given_up = {n: Outcome(n, None) for n in known.get("given_up", [])}
        done = given_up | {row["index"]: Outcome(row["index"], row) for row in rows}
        for index, skipped in known.get("skipped", {}).items():
            done[int(index)] = Outcome(int(index), done[int(index)].row, _pairs(skipped))
        for line in files.whole_lines(self.out / _PROGRESS):
            entry = json.loads(line)
            done[entry["index"]] = Outcome(entry["index"], entry["row"], _pairs(entry["skipped"]))
        return {n: outcome for n, outcome in done.items() if self._is_whole(outcome)}

    def _is_whole(self, outcome: Outcome) -> bool:
        if outcome.row is None:
            return True
        names = outcome.row["file_name"], outcome.row["mask_file_name"]
        return all((self.out / SPLIT / name).is_file() for name in names)

    @contextmanager
    def progress(self) -> Iterator[Callable[[Outcome], None]]:
        """Keeps each outcome on disk as it comes, after its files."""
        path = self.out / _PROGRESS
        # A line that a killed run cut off would otherwise swallow the next one.
        files.write(path, "".join(f"{line}\n" for line in files.whole_lines(path)).encode())

        def keep(outcome: Outcome) -> None:
            try:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(outcome)) + "\n")
            except OSError as error:
                raise files.unwritable(path, error) from None

        yield keep

    def finish(self, ordered: Sequence[Outcome]) -> None:
        """Metadata, record and card, in the order of the samples whatever order they came in."""
        rows = [outcome.row for outcome in ordered if outcome.row is not None]
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        files.write(self.out / _METADATA, "".join(lines).encode())
        facts = {
            "settings": self.record,
            "given_up": [outcome.index for outcome in ordered if outcome.row is None],
            "skipped": {o.index: [list(pair) for pair in o.skipped] for o in ordered if o.skipped},
        }
        files.write_json(self.out / RECORD, facts)
        skipped = _reasons(ordered)
        files.write(self.out / "README.md", card.text(rows, self.record, skipped).encode())
        (self.out / _PROGRESS).unlink(missing_ok=True)


def _record(found: Photos, settings: Settings) -> dict[str, Any]:
    """What must not change between the runs of one dataset, as plain data."""
    used = {get(operation).network for operation in settings.operations}
    packages = ["numpy", "opencv-python-headless", "pillow"] + ["torch"] * bool(used - {None})
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return plain | {
        "photos": len(found), "photos_sha256": found.digest,
        "autoencoder": networks.autoencoder_name() if "autoencoder" in used else "",
        "reference_photographs": sample.reference().images,
        "versions": {"vlm_forensics": __version__} | {name: version(name) for name in packages},
    }  # fmt: skip


def _say_nothing(done: int, total: int) -> None:
    del done, total


def _assert_some(ordered: Sequence[Outcome]) -> None:
    if all(outcome.row is None for outcome in ordered):
        why = ", ".join(f"{n} {reason}" for reason, n in sorted(_reasons(ordered).items()))
        raise InputError("no_photos", f"no photograph served for any sample ({why})",
                         hint="give more, or more varied, photographs")  # fmt: skip


def _summary(ordered: Sequence[Outcome], kept: int, found: Photos) -> Summary:
    rows = [outcome.row for outcome in ordered if outcome.row is not None]
    return Summary(
        made=len(rows) - kept, kept=kept,
        given_up=tuple(outcome.index for outcome in ordered if outcome.row is None),
        skipped=_reasons(ordered), operations=Counter(row["operation"] for row in rows),
        others=found.others,
    )  # fmt: skip


def _reasons(ordered: Sequence[Outcome]) -> Counter[str]:
    """How many photographs were skipped for each reason, each photograph once."""
    pairs = {pair for outcome in ordered for pair in outcome.skipped}
    return Counter(reason for _, reason in sorted(pairs))


def _pairs(listed: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    return [(name, reason) for name, reason in listed]
