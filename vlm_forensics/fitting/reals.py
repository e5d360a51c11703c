"""`vlmf calibrate`: what the training-free scores are on the user's own real photographs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import vlm_forensics
from vlm_forensics import weights
from vlm_forensics.errors import InputError
from vlm_forensics.exporting import files
from vlm_forensics.fitting.probe_pictures import READERS, Picture, in_folder, tracked
from vlm_forensics.image import EvidenceImage
from vlm_forensics.training_free.meter import Meter
from vlm_forensics.training_free.reals import BY_NAME, LEAST, Reals, ScoreOnReals

Values = dict[str, float]
_LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "torch")


def calibrate(reals: Path, out: Path, *, offline: bool = False) -> Reals:
    """Measures every photograph in a folder and writes their scores to `out`.

    What was measured is kept in the cache, so an interrupted run goes on.

    Args:
        reals: folder of real photographs, subfolders included.
        out: file to write; only an earlier calibration is replaced.
        offline: use no network.

    Raises:
        InputError: not_found, empty_folder, too_few_images, output_conflict.
        WeightsError: weights are damaged.
    """
    Reals.check_output(out)
    skipped: Counter[str] = Counter()
    pictures = list(in_folder(reals, synthetic=False, skipped=skipped).values())
    _check_count(len(pictures), skipped)
    meter = Meter.load(offline=offline)
    measured = _measure(pictures, meter, skipped)
    _check_count(len(measured), skipped)
    found = summed_up(measured, meter.settings(), skipped)
    files.write(out, found.as_file())
    return found


def _check_count(count: int, skipped: Mapping[str, int]) -> None:
    if count < LEAST:
        why = "; ".join(f"{n} {code}" for code, n in sorted(skipped.items()))
        left_out = f" ({why} left out)" if why else ""
        raise InputError("too_few_images", f"{count} photographs are too few{left_out}",
                         hint=f"at least {LEAST} are needed, 100 and more are better")  # fmt: skip


def _measure(pictures: Sequence[Picture], meter: Meter, skipped: Counter[str]) -> dict[str, Values]:
    kept = _Kept.of(meter.settings())
    todo = [picture for picture in pictures if picture.sha256 not in kept.rows]
    with ThreadPoolExecutor(READERS) as pool:
        for picture, found in zip(todo, _tracked(pool, todo, meter), strict=True):
            if isinstance(found, InputError):
                skipped[found.code] += 1
            else:
                kept.add(picture.sha256, found)
    return {one.sha256: kept.rows[one.sha256] for one in pictures if one.sha256 in kept.rows}


def _tracked(
    pool: ThreadPoolExecutor, todo: Sequence[Picture], meter: Meter
) -> Iterator[Values | InputError]:
    results = pool.map(partial(_one, meter), todo)
    return (next(results) for _ in tracked(todo, "measuring photographs"))


def _one(meter: Meter, picture: Picture) -> Values | InputError:
    try:
        return meter.measure(EvidenceImage.open(picture.path).rgb)
    except InputError as error:
        return error


def summed_up(
    measured: Mapping[str, Values], settings: dict[str, str], skipped: Mapping[str, int]
) -> Reals:
    """The calibration of these photographs.

    Args:
        measured: scores by name, by the sha256 of the photograph.
        settings: of the meter.
        skipped: files left out, by reason.

    Raises:
        InputError: too_few_images with every score that is kept.
    """
    # A score that most photographs lack is left out; a photograph that lacks a kept score too.
    counts = Counter(name for values in measured.values() for name in values)
    names = [name for name in BY_NAME if counts[name] > len(measured) / 2]
    whole = {sha: values for sha, values in measured.items() if all(n in values for n in names)}
    left_out = Counter(skipped)
    if lacking := len(measured) - len(whole):
        left_out["not_measured"] = lacking
    _check_count(len(whole), left_out)
    return Reals(
        package=vlm_forensics.__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        settings=settings,
        versions={name: version(name) for name in _LIBRARIES},
        sha256=tuple(whole),
        skipped=dict(sorted(left_out.items())),
        scores={name: ScoreOnReals.of(BY_NAME[name], [row[name] for row in whole.values()])
                for name in names},
    )  # fmt: skip


class _Kept:
    """Measured scores in the cache folder, one JSON line per photograph."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: dict[str, Values] = dict(_lines(path))

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> _Kept:
        """What was measured with these settings by this version."""
        exact = json.dumps([vlm_forensics.__version__, sorted(BY_NAME), settings], sort_keys=True)
        key = hashlib.sha256(exact.encode()).hexdigest()[:16]
        return cls(weights.cache_folder() / "training-free" / f"{key}.jsonl")

    def add(self, sha256: str, values: Values) -> None:
        """Keeps one photograph."""
        self.rows[sha256] = values
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([sha256, values]) + "\n")


def _lines(path: Path) -> Iterable[tuple[str, Values]]:
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            sha256, values = json.loads(line)
        except ValueError:
            continue  # the line that an interrupted run was writing
        yield sha256, values
