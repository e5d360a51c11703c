"""What is seen in one picture: does it decode, file facts, hash, mask; kept for later runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

import vlm_forensics
from vlm_forensics.checking.fingerprints import perceptual_hash
from vlm_forensics.datasets.base import Blob, Sample, SkipCode
from vlm_forensics.datasets.equalise import QUALITY, SIDE
from vlm_forensics.datasets.pixels import decoding_fault, mask_values, read_mask, read_pixels
from vlm_forensics.errors import InputError
from vlm_forensics.evaluation.baselines import FORMATS, file_facts
from vlm_forensics.evaluation.conditions import equalised_jpeg

ROWS = 1
"""Version of what is kept of a picture; older rows are not read."""

Progress = Callable[[Sequence[Sample]], Iterable[Sample]]
"""Goes through the samples and shows how far it is."""


class Picture(BaseModel):
    """Facts of one sample that no label is needed for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    """sha256 of the image's bytes."""
    fault: SkipCode | None = None
    """Why it cannot be used; nothing else is known then."""
    why: str = ""
    raw: tuple[float, ...] = ()
    """`baselines.file_facts` of the dataset's file."""
    equalised: tuple[float, ...] = ()
    """The same of the picture after `equalise`."""
    hash: str = ""
    """`perceptual_hash`; empty for a flat picture."""
    altered: float | None = None
    """Share of the pixels that the mask marks, in [0, 1]; None without a mask."""
    scaled_mask: bool = False
    """A mask has the proportions of the image and another size."""


def examine_all(samples: Sequence[Sample], cache: Path, progress: Progress) -> list[Picture]:
    """One picture per sample, in order; what the `cache` (JSON Lines) knows is not decoded again.

    A row's key is made of the bytes of image, masks and original, the settings of `equalise` and
    the version of this package.

    Args:
        samples: what to look at.
        cache: made when it does not exist; rows are appended as they come.
        progress: wraps the samples.

    Raises:
        InputError: the cache file is something else (`output_conflict`).
        OSError: the cache cannot be written.
    """
    text = cache.read_text("utf-8", errors="replace") if cache.is_file() else ""
    known = _read(text, cache.name)
    cache.parent.mkdir(parents=True, exist_ok=True)
    found = []
    with cache.open("a", encoding="utf-8") as file:
        if text and not text.endswith("\n"):  # an interrupted run was writing this line
            file.write("\n")
        for sample in progress(samples):
            digest = _digest(sample.path)
            key = _key(sample, digest)
            picture = known.get(key) or examine(sample, digest)
            found.append(picture)
            # A fault is looked for again: its words name the file, and the cause may be gone.
            if key not in known and picture.fault is None:
                known[key] = picture
                row = {"key": key, "picture": picture.model_dump(mode="json")}
                file.write(json.dumps(row) + "\n")
                file.flush()
    return found


def examine(sample: Sample, digest: str) -> Picture:
    """Decode a sample and look at it."""
    try:
        rgb, raw = read_pixels(sample.path), file_facts(sample.path.read_bytes())
    except Exception as error:  # a damaged file may raise anything, as in `decoding_fault`
        why = f"{sample.path.name} does not decode ({type(error).__name__})"
        return Picture(digest=digest, fault=SkipCode.BROKEN_IMAGE, why=why)
    fault = decoding_fault(sample) if sample.has_mask else None
    if fault is not None:
        return Picture(digest=digest, fault=fault.code, why=fault.why)
    width, height = raw[len(FORMATS) : len(FORMATS) + 2]
    return Picture(
        digest=digest,
        raw=tuple(raw),
        equalised=tuple(file_facts(equalised_jpeg(rgb))),
        hash=perceptual_hash(rgb),
        altered=float(read_mask(sample, *rgb.shape[:2]).mean()) if sample.has_mask else None,
        scaled_mask=any(mask_values(mask).shape[:2] != (height, width) for mask in sample.masks),
    )


def _key(sample: Sample, digest: str) -> str:
    others = [*sample.masks, *([sample.original] if sample.original else [])]
    run = [ROWS, vlm_forensics.__version__, SIDE, QUALITY, len(sample.masks)]
    text = json.dumps([*run, digest, *map(_digest, others)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _digest(blob: Blob) -> str:
    try:
        return hashlib.sha256(blob.read_bytes()).hexdigest()
    except OSError as error:  # decoding it will say the same
        return f"unreadable: {type(error).__name__}"


def _read(text: str, name: str) -> dict[str, Picture]:
    """The rows of a cache.

    Raises:
        InputError: the first line is none, so this is somebody's other file.
    """
    known = {}
    for number, line in enumerate(text.splitlines()):
        try:
            row = json.loads(line)
            known[row["key"]] = Picture.model_validate(row["picture"])
        except ValidationError:
            continue  # a row of another version
        except (ValueError, KeyError, TypeError) as error:
            if number == 0:
                raise InputError("output_conflict", f"{name} was not written by this command",
                                 hint="name a new file with --cache") from error  # fmt: skip
    return known
