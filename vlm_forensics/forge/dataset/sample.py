"""One sample of a forged dataset: photo, operation, post-processing, measurements, annotation."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlm_forensics import features, weights
from vlm_forensics.decoding import Limits, RefusedError, decode
from vlm_forensics.features.base import PixelArray
from vlm_forensics.features.clues import Clue, clues
from vlm_forensics.features.reference import Reference
from vlm_forensics.forge import NothingAlteredError, forge, get
from vlm_forensics.forge.annotation import claims, mask_boxes
from vlm_forensics.forge.base import Mask, Params, Rgb
from vlm_forensics.forge.dataset import files, post_processing
from vlm_forensics.forge.dataset.photos import Photos, working_size
from vlm_forensics.image import printable
from vlm_forensics.parsing import ParsedClaim, compose
from vlm_forensics.taxonomy import Label, Operation, Origin

SPLIT = "train"
UNALTERED = "none"
"""The operation of a photograph that is left as it is."""
_TRIES = 6
"""How many readable photographs are tried for one sample before it is given up."""
_PHOTO, _FORGE, _POST, _WORDING = range(4)
"""Independent random streams of one sample."""
_DEAR = frozenset({"copy_move"})
"""Features that take as long as all others together."""


@dataclass(frozen=True)
class Settings:
    """What decides the bytes of every sample, together with the photographs."""

    seed: int
    operations: tuple[Operation, ...]
    real: float
    """Share of photographs left unaltered, in [0, 1)."""
    pixels: int
    """Larger photographs are cut and shrunk to this many."""
    all_clues: bool
    """Measure the dear features too."""
    licence: str
    """What the rows and the card say of the photographs."""

    def operation(self, index: int) -> Operation | None:
        """What is done to sample `index`: the same for every size of the dataset."""
        before = int(index * self.real)
        if int((index + 1) * self.real) > before:
            return None
        return self.operations[(index - before) % len(self.operations)]


@dataclass(frozen=True)
class Outcome:
    """What became of one sample."""

    index: int
    row: dict[str, Any] | None
    """Its line of metadata.jsonl; None where no photograph served."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Photographs that were tried in vain, and why."""


@dataclass(frozen=True)
class _Picture:
    """A photograph, altered or not, before its post-processing."""

    rgb: Rgb
    mask: Mask
    label: Label
    origin: Origin
    operation: str
    params: Params


def make(index: int, photos: Photos, settings: Settings, folder: Path) -> Outcome:
    """Makes sample `index` and writes its image and mask below `folder`.

    Raises:
        WeightsError: the operation needs a network that cannot be loaded.
        VlmfError: output_unwritable.
    """
    operation = settings.operation(index)
    skipped: list[tuple[str, str]] = []
    pictures = _pictures(index, photos, settings, skipped)
    for attempt, (name, photo) in enumerate(islice(pictures, _TRIES)):
        donor_name, donor = "", photo
        if operation is not None and get(operation).uses_donor:
            donor_name, donor = next(pictures, ("", photo))
            if not donor_name:  # no other photograph is left
                break
        try:
            seed = np.random.default_rng([settings.seed, index, _FORGE, attempt]).integers(2**32)
            made = _made(photo, donor, operation, int(seed))
        except NothingAlteredError:
            skipped.append((name, f"nothing_altered by {operation}"))
            continue
        source = {"photo": printable(name), "donor": printable(donor_name),
                  "license": settings.licence}  # fmt: skip
        return Outcome(index, _finished(index, made, settings, folder) | source, skipped)
    return Outcome(index, None, skipped)


def _pictures(
    index: int, photos: Photos, settings: Settings, skipped: list[tuple[str, str]]
) -> Iterator[tuple[str, Rgb]]:
    """Readable photographs at working size in the random order of one sample, with their names."""
    rng = np.random.default_rng([settings.seed, index, _PHOTO])
    for n in rng.permutation(len(photos)):
        (cut,) = rng.spawn(1)
        try:
            yield photos.names[n], working_size(photos.read(int(n)), settings.pixels, cut)
        except RefusedError as refused:
            skipped.append((photos.names[n], refused.code))


def _made(photo: Rgb, donor: Rgb, operation: Operation | None, seed: int) -> _Picture:
    if operation is None:
        return _Picture(photo, np.zeros(photo.shape[:2], bool), Label.REAL, Origin.CAMERA,
                        UNALTERED, {})  # fmt: skip
    made = forge(photo, donor, operation, seed)
    return _Picture(made.rgb, made.mask, made.label, made.origin, operation, made.params)


def _finished(index: int, made: _Picture, settings: Settings, folder: Path) -> dict[str, Any]:
    """Post-processes, measures, annotates and writes; the row without where it came from."""
    chain = post_processing.draw(np.random.default_rng([settings.seed, index, _POST]))
    data, mask = post_processing.apply(chain, made.rgb, made.mask)
    image, mask_image = _names(index, chain.suffix)
    files.write(folder / mask_image, _png(mask))
    files.write(folder / image, data)
    found = measure(data, mask, settings.all_clues)
    said: tuple[ParsedClaim, ...] = ()
    if made.label is not Label.REAL:
        rng = np.random.default_rng([settings.seed, index, _WORDING])
        said = claims(Operation(made.operation), mask, found, rng)
    return {
        "file_name": image, "mask_file_name": mask_image, "label": str(made.label),
        "operation": str(made.operation), "origin": str(made.origin),
        "boxes": [list(box) for box in mask_boxes(mask)],
        "annotation": compose(made.label, said), "clues": [_clue_row(clue) for clue in found],
        # Keys differ from operation to operation: as text, every row has the same columns.
        "params": json.dumps(made.params), "post_processing": json.dumps(chain.facts()),
        "index": index, "seed": settings.seed, "height": mask.shape[0], "width": mask.shape[1],
        "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip


def measure(data: bytes, mask: Mask, everything: bool) -> list[Clue]:
    """Clues of a finished file, as a detector that opens it would measure them.

    Args:
        data: the file.
        mask: `[H, W]`; its inside and outside are compared unless it is full or empty.
        everything: with the dear features.
    """
    seen = decode(data, Limits())
    tables = {i: tuple(t) for i, t in seen.quantization.items()} if seen.quantization else None
    pixels = np.frombuffer(seen.rgb, np.uint8).reshape(seen.height, seen.width, 3)
    names = [name for name in features.names() if everything or name not in _DEAR]
    measured = features.measure_all(PixelArray(pixels, tables), names)
    return clues(measured, mask & ~mask.all(), reference())


@cache
def reference() -> Reference:
    """That of the built-in model; without its weights an empty one, which calls nothing unusual."""
    folder = weights.mini_folder()
    return Reference.load(folder / "reference.json") if folder else Reference({}, 0)


def _clue_row(clue: Clue) -> dict[str, Any]:
    return {"feature": clue.feature, "key": clue.key, "value": float(f"{clue.value:.5g}"),
            "phrase": clue.phrase, "unusual": clue.unusual, "local": clue.local}  # fmt: skip


def _names(index: int, suffix: str) -> tuple[str, str]:
    """Relative paths of image and mask, a thousand to a folder."""
    part = f"{index // 1000:04d}/{index:07d}"
    return f"images/{part}.{suffix}", f"masks/{part}.png"


def _png(mask: Mask) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(buffer, "PNG")
    return buffer.getvalue()
