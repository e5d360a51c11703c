"""Pictures for a probe: two folders, read, equalised and encoded once, features kept."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vlm_forensics import weights
from vlm_forensics.datasets.equalise import equalise
from vlm_forensics.errors import InputError
from vlm_forensics.evaluation.baselines import FORMATS, file_facts
from vlm_forensics.evaluation.conditions import equalised_jpeg
from vlm_forensics.image import EvidenceImage
from vlm_forensics.probe import ProbeConfig

BATCH = 32
READERS = 2
"""Threads that wait for decoding processes."""

_T = TypeVar("_T")
Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Picture:
    """One file of the two folders."""

    path: Path
    sha256: str
    synthetic: bool
    source: str
    """First folder below the one given; empty for files directly in it."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What is kept of the pictures that could be read."""

    pictures: tuple[Picture, ...]
    features: NDArray[np.float32]  # [N, D]
    before: NDArray[np.float64]  # [N, 7] `file_facts` of the files
    after: NDArray[np.float64]  # [N, 7] and of the equalised pictures

    @property
    def synthetic(self) -> NDArray[np.bool_]:
        """`[N]` labels."""
        return np.asarray([picture.synthetic for picture in self.pictures], bool)


def collect(real: Path, fake: Path, skipped: Counter[str]) -> list[Picture]:
    """The files of both folders and all folders below, hidden ones left out, each content once.

    Args:
        real: folder of real pictures.
        fake: folder of synthetic ones.
        skipped: counts what is left out, by reason.

    Raises:
        InputError: not_found, empty_folder; same_file when a content is in both folders.
    """
    reals = in_folder(real, synthetic=False, skipped=skipped)
    fakes = in_folder(fake, synthetic=True, skipped=skipped)
    if both := reals.keys() & fakes.keys():
        first = min(reals[key].path.name for key in both)
        raise InputError("same_file", f"{first} is in both folders ({len(both)} such files)",
                         hint="a picture is real or it is not: move it out of one")  # fmt: skip
    return [*reals.values(), *fakes.values()]


def in_folder(root: Path, *, synthetic: bool, skipped: Counter[str]) -> dict[str, Picture]:
    """The files in the folder and all folders below, hidden ones left out, by their sha256.

    Raises:
        InputError: not_found, empty_folder.
    """
    if not root.is_dir():
        raise InputError("not_found", f"{root.name} is not a folder", hint="check the path")
    found: dict[str, Picture] = {}
    for path in tracked(list(_files(root)), f"looking at {root.name}"):
        try:
            with path.open("rb") as file:
                key = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            skipped["unreadable"] += 1
            continue
        if key in found:
            skipped["duplicate"] += 1
            continue
        parts = path.relative_to(root).parts
        found[key] = Picture(path, key, synthetic, parts[0] if len(parts) > 1 else "")
    if not found:
        raise InputError("empty_folder", f"{root.name} holds no files", hint="check the path")
    return found


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if not hidden and path.is_file():
            yield path


def encode(
    pictures: Sequence[Picture], encode_batch: Encode, config: ProbeConfig, skipped: Counter[str]
) -> Encoded:
    """Features of all pictures; those of earlier runs, interrupted ones too, are taken as kept.

    Args:
        pictures: of `collect`.
        encode_batch: features `[N, D]` of equalised pictures `[N, 256, 256, 3]`.
        config: names the encoder, so that features of another one are not mixed in.
        skipped: counts the pictures that cannot be read, by error code.
    """
    kept = _Kept.of(config)
    missing = [picture for picture in pictures if picture.sha256 not in kept.rows]
    batches = [missing[n : n + BATCH] for n in range(0, len(missing), BATCH)]
    with ThreadPoolExecutor(READERS) as pool:
        for batch in tracked(batches, "reading and encoding"):
            found = [one for one in pool.map(_read, batch) if _usable(one, skipped)]
            read = [one for one in found if isinstance(one, _Read)]
            if read:
                features = encode_batch(np.stack([one.rgb for one in read]))
                kept.add([one.sha256 for one in read], features, [one.facts for one in read])
    chosen = [picture for picture in pictures if picture.sha256 in kept.rows]
    rows = [kept.rows[picture.sha256] for picture in chosen]
    width = len(FORMATS) + 4
    facts = np.asarray([row[1] for row in rows], np.float64).reshape(-1, 2 * width)
    features = np.asarray([row[0] for row in rows], np.float32)
    return Encoded(tuple(chosen), features, facts[:, :width], facts[:, width:])


@dataclass(frozen=True, slots=True)
class _Read:
    sha256: str
    rgb: NDArray[np.uint8]
    facts: list[float]


def _read(picture: Picture) -> _Read | InputError:
    """The equalised pixels and what the file shows before and after; a refusal is returned."""
    try:
        image = EvidenceImage.open(picture.path)
    except InputError as error:
        return error
    facts = [*_facts(image), *file_facts(equalised_jpeg(image.rgb))]
    return _Read(picture.sha256, equalise(image.rgb).rgb, facts)


def _usable(one: _Read | InputError, skipped: Counter[str]) -> bool:
    if isinstance(one, InputError):
        skipped[one.code] += 1
        return False
    return True


def _facts(image: EvidenceImage) -> list[float]:
    """As `file_facts`, from a file that is decoded already and may have any accepted format."""
    tables = image.quantization or {}
    quantiser = float(np.mean(tables[min(tables)])) if tables else 0.0
    kind = [float(image.format == name) for name in FORMATS]
    area = image.width * image.height
    return [*kind, image.width, image.height, quantiser, len(image.data) / area]


class _Kept:
    """Features in the cache folder, one file per batch, by the sha256 of the picture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, tuple[NDArray[np.float32], NDArray[np.float64]]] = {}
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as part:
                rows = zip(part["features"], part["facts"], strict=True)
                self.rows |= dict(zip(part["names"].tolist(), rows, strict=True))

    @classmethod
    def of(cls, config: ProbeConfig) -> _Kept:
        """What is kept for this encoder, layer and treatment."""
        exact = config.model_dump_json(exclude={"encoder", "revision"})
        key = hashlib.sha256(exact.encode()).hexdigest()[:16]
        return cls(weights.cache_folder() / "probe-features" / key)

    def add(
        self, names: Sequence[str], features: NDArray[np.float32], facts: Sequence[list[float]]
    ) -> None:
        """Keeps a batch; written beside and renamed, so that an interruption leaves no half."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{hashlib.sha256(''.join(names).encode()).hexdigest()[:16]}.npz"
        half = path.with_suffix(f".{os.getpid()}")
        with half.open("wb") as file:
            np.savez(file, names=np.asarray(names), features=features, facts=np.asarray(facts))
        half.replace(path)
        rows = zip(features, np.asarray(facts), strict=True)
        self.rows |= dict(zip(names, rows, strict=True))


def tracked(items: Sequence[_T], text: str) -> Iterable[_T]:
    """Progress on standard error, only where a person watches."""
    from rich.console import Console
    from rich.progress import track

    return track(items, text, console=Console(stderr=True), transient=True,
                 disable=not sys.stderr.isatty())  # fmt: skip
