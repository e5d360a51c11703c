"""Square views of dataset images, cut once and kept in a memory-mapped array.

A view is `[SIDE, SIDE, 3]` before any recompression: the forge works on views, and the final JPEG
is drawn the same way for every class afterwards.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.equalise import SIDE, Square, centre_square
from vlm_forensics.datasets.pixels import read_mask, read_pixels
from vlm_forensics.taxonomy import Label, Operation
from vlm_forensics.transforms.base import Picture

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Views:
    """`N` views with what is known of each."""

    rgb: NDArray[np.uint8]  # [N, SIDE, SIDE, 3]
    masks: NDArray[np.bool_]  # [N, SIDE, SIDE]
    label: NDArray[np.str_]
    source: NDArray[np.str_]
    image: NDArray[np.str_]
    """Relative path: the views of one image share it."""
    has_mask: NDArray[np.bool_]
    operation: NDArray[np.str_]
    """What was done, where the dataset says it in our words; else empty."""

    def __len__(self) -> int:
        return len(self.label)

    def where(self, keep: NDArray[np.bool_]) -> Views:
        """The views where `keep` holds."""
        return Views(self.rgb[keep], self.masks[keep], self.label[keep], self.source[keep],
                     self.image[keep], self.has_mask[keep], self.operation[keep])  # fmt: skip


def squares(height: int, width: int, count: int, rng: np.random.Generator) -> list[Square]:
    """`count` squares: the whole short side first, then log-uniform sides down to `SIDE`."""
    short = min(height, width)
    found = [centre_square(height, width)]
    for _ in range(count - 1):
        side = round(float(np.exp(rng.uniform(np.log(min(SIDE, short)), np.log(short)))))
        found.append(Square(int(rng.integers(width - side + 1)),
                            int(rng.integers(height - side + 1)), side))  # fmt: skip
    return found


Cut = Callable[[Picture, int, np.random.Generator], Iterable[Picture]]
"""So many views of one stored picture, by these random numbers."""


def plain(stored: Picture, count: int, rng: np.random.Generator) -> Iterable[Picture]:
    """`count` squares of a stored picture."""
    height, width = stored.mask.shape
    return (stored.cut(square) for square in squares(height, width, count, rng))


def build(
    samples: Sequence[Sample], out: Path, *, per_image: int, seed: int, cut: Cut = plain
) -> Views:
    """Cuts the views of `samples` into `out` (kept and re-read when it is complete)."""
    if not (out / "views.csv").is_file():
        _write(samples, out, per_image, seed, cut)
    return load(out)


def _write(samples: Sequence[Sample], out: Path, per_image: int, seed: int, cut: Cut) -> None:
    from rich.progress import track

    out.mkdir(parents=True, exist_ok=True)
    total = len(samples) * per_image
    rgb = np.lib.format.open_memmap(out / "rgb.npy", "w+", np.uint8, (total, SIDE, SIDE, 3))
    masks = np.lib.format.open_memmap(out / "masks.npy", "w+", np.bool_, (total, SIDE, SIDE))
    rows: list[list[str]] = []
    refused = 0
    for number, sample in enumerate(track(samples, "cutting views")):
        try:
            stored = _stored(sample)
        except (OSError, ValueError, SyntaxError) as error:
            refused += 1
            log.warning("%s does not decode (%s)", sample.path.name, type(error).__name__)
            continue
        name = f"{sample.source}/{sample.path.name}"
        for picture in cut(stored, per_image, np.random.default_rng([seed, number])):
            rgb[len(rows)], masks[len(rows)] = picture.rgb, picture.mask
            rows.append(_row(picture, name))
    with (out / "views.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    log.info("%d views of %d images, %d images refused", len(rows), len(samples), refused)


def _stored(sample: Sample) -> Picture:
    pixels = read_pixels(sample.path)
    operation = sample.generator if sample.generator in set(Operation) else ""
    return Picture(pixels, read_mask(sample, *pixels.shape[:2]), sample.label, sample.source,
                   sample.has_mask, operation)  # fmt: skip


def _row(view: Picture, name: str) -> list[str]:
    # A view that misses the altered area of a tampered image shows nothing but real pixels.
    label = view.label
    if label is Label.TAMPERED and view.mask_known and view.mask.mean() < 0.002:
        label = Label.REAL
    return [label, view.source, name, str(int(view.mask_known)), view.operation]


def load(out: Path) -> Views:
    """The views of a finished cache."""
    with (out / "views.csv").open(newline="", encoding="utf-8") as file:
        columns = [np.asarray(column) for column in zip(*csv.reader(file), strict=True)]
    count = len(columns[0])
    rgb = np.load(out / "rgb.npy", mmap_mode="r")[:count]
    masks = np.load(out / "masks.npy", mmap_mode="r")[:count]
    label, source, image, has_mask, operation = columns
    return Views(rgb, masks, label, source, image, has_mask == "1", operation)


def concatenate(parts: Sequence[Views]) -> Views:
    """The views of several caches as one, in memory."""
    names = ("rgb", "masks", "label", "source", "image", "has_mask", "operation")
    return Views(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
