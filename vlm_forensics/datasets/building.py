"""Writes a dataset as a folder with an `index.csv`, which training and benchmarks read.

Images, masks and originals keep their bytes. What does not decode is left out and listed in
`skipped.csv`. A run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from vlm_forensics.datasets.base import Blob, Listing, Sample
from vlm_forensics.datasets.folders import is_image
from vlm_forensics.datasets.indexed import COLUMNS, INDEX, index_row
from vlm_forensics.datasets.pixels import decoding_fault
from vlm_forensics.errors import InputError

RECORD = "build.json"
"""What this folder was built from; marks it as one that may be continued."""
SKIPPED = "skipped.csv"

Progress = Callable[[tuple[Sample, ...]], Iterable[Sample]]
"""Goes through the samples and shows how far it is."""


@dataclass(frozen=True)
class Built:
    """What a build wrote."""

    listing: Listing
    """Samples that were written, and everything that was skipped while reading or writing."""
    resumed: int
    """How many of them an earlier run had written."""

    def as_json(self) -> dict[str, Any]:
        """For `build.json` and `--json`."""
        return {
            "dataset": self.listing.name,
            "samples": len(self.listing.samples),
            "counts": self.listing.counts(),
            "skipped": self.listing.skipped_counts(),
            "resumed": self.resumed,
        }


def build(listing: Listing, out: Path, split: str, progress: Progress = iter) -> Built:
    """Writes `out/index.csv`, `images/`, `masks/`, `originals/`, `skipped.csv`, `build.json`.

    Args:
        listing: What an adapter read.
        out: New or empty folder, or that of an interrupted build of the same dataset.
        split: For samples that were published without one.
        progress: Wraps the samples.

    Raises:
        InputError: `out` holds something else (`not_empty`), or no sample decodes
            (`empty_dataset`).
        OSError: the disk is full or not writable.
    """
    _claim(out, listing.name)
    written = _written(out)
    stems = _stems(listing.samples)
    rows, kept, skipped, resumed = [], [], list(listing.skipped), 0
    for sample in progress(listing.samples):
        stem = stems[sample.id]
        # The image is written last, so it stands for a sample that is complete and decodes.
        complete = f"images/{stem}" in written
        fault = None if complete else decoding_fault(sample)
        if fault is not None:
            skipped.append(fault)
            continue
        kept.append(replace(sample, split=sample.split or split))
        rows.append(_write(kept[-1], out, stem, written))
        resumed += complete
    built = Built(Listing(listing.name, tuple(kept), tuple(skipped)), resumed)
    _finish(out, rows, built)
    return built


def _claim(out: Path, name: str) -> None:
    """Make `out` ours, or find that it is.

    Raises:
        InputError: it holds something else.
    """
    out.mkdir(parents=True, exist_ok=True)
    record = out / RECORD
    if record.is_file():
        if json.loads(record.read_text(encoding="utf-8")).get("dataset") == name:
            return
        raise InputError("not_empty", f"{out.name} was built from another dataset",
                         hint="give a new folder with --out")  # fmt: skip
    if any(out.iterdir()):
        raise InputError("not_empty", f"{out.name} is not empty and was not built by this command",
                         hint="give a new folder with --out")  # fmt: skip
    _replace(record, json.dumps({"dataset": name}).encode())


def _written(out: Path) -> dict[str, str]:
    """Names of the files in the folders of `out`, by their names without suffix."""
    names = [path.relative_to(out) for path in out.glob("*/**/*") if path.is_file()]
    return {n.with_suffix("").as_posix(): n.as_posix() for n in names if n.name[0] != "."}


def _stems(samples: Iterable[Sample]) -> dict[str, str]:
    """A file name without suffix for each id: readable, safe, and no two alike."""
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for sample in samples:
        whole = PurePosixPath(sample.id)
        parts = (whole.with_suffix("") if is_image(whole.name) else whole).parts
        stem = "/".join(re.sub(r"[^\w.-]+", "_", part).strip(".") or "_" for part in parts)
        # Case decides nothing on some disks, and `a.jpg` beside `a.png` have one stem.
        if stem.lower() in taken:
            stem += "-" + hashlib.sha256(sample.id.encode()).hexdigest()[:8]
        taken.add(stem.lower())
        stems[sample.id] = stem
    return stems


def _write(sample: Sample, out: Path, stem: str, written: Mapping[str, str]) -> dict[str, Any]:
    """The files of a sample, its image last, and its row of the index."""

    def place(blob: Blob, stem: str) -> str:
        if stem in written:
            return written[stem]
        data = blob.read_bytes()
        name = stem + (Path(blob.name).suffix.lower() if is_image(blob.name) else _suffix(data))
        _replace(out / name, data)
        return name

    masks = [place(mask, f"masks/{stem}-{n}") for n, mask in enumerate(sample.masks)]
    original = place(sample.original, f"originals/{stem}") if sample.original else ""
    return index_row(sample, place(sample.path, f"images/{stem}"), masks, original)


def _suffix(data: bytes) -> str:
    """By content, for cells of tables, which have no file name."""
    if data.startswith(b"MATLAB"):
        return ".mat"
    with Image.open(io.BytesIO(data)) as image:
        return ".jpg" if image.format == "JPEG" else f".{(image.format or 'img').lower()}"


def _finish(out: Path, rows: list[dict[str, Any]], built: Built) -> None:
    """The index and the records.

    Raises:
        InputError: there is nothing to list.
    """
    skipped = built.listing.skipped
    _replace(out / SKIPPED, _csv(("where", "code", "why"), [asdict(item) for item in skipped]))
    if not rows:
        raise InputError("empty_dataset", f"no sample decodes, {len(skipped)} skipped",
                         hint=f"{SKIPPED} in the output folder says why")  # fmt: skip
    _replace(out / INDEX, _csv(COLUMNS, rows))
    _replace(out / RECORD, json.dumps(built.as_json(), indent=2).encode())


def _csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(data)
    os.replace(partial, path)
