"""The training corpus: equalised views, natural and forged, with every label that is known.

Each sample is a `[SIDE, SIDE, 3]` picture after one JPEG whose quality is drawn from the same
distribution for every class, so that compression tells nothing about the label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.datasets.equalise import SIDE, recompress
from vlm_forensics.fitting.views import Views
from vlm_forensics.forge import forge
from vlm_forensics.forge.base import NothingAlteredError
from vlm_forensics.model.losses import IGNORE
from vlm_forensics.model.precision import mixed
from vlm_forensics.model.vocabulary import CLASSES, OPERATIONS
from vlm_forensics.taxonomy import Label, Operation

WORKERS = 2
QUALITIES = (60, 96)
"""Range of the final JPEG quality of a training picture, the end excluded."""

SOURCE_OPERATION = {
    "bcmi_Image-Harmonization-Dataset-iHarmony4": Operation.SPLICE,
    "bcmi_ObjectStitch-Image-Composition": Operation.SPLICE,
    "antoinewdg_inpainting-detection": Operation.INPAINTING,
    "aknemine_KeypointBasedCopyMoveForgery": Operation.COPY_MOVE,
    "PPPW_poisson-image-editing": Operation.BLENDING,
    "wuhuikai_GP-GAN": Operation.BLENDING,
    "wuhuikai_FaceSwap": Operation.BLENDING,
    "ctaverni_uadfv": Operation.BLENDING,
    "ddvqa_ffpp_c40": Operation.BLENDING,
}
"""What is known to have been done in the tampered images of public sources."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """`N` training pictures and their labels."""

    rgb: NDArray[np.uint8]  # [N, SIDE, SIDE, 3]
    masks: NDArray[np.bool_]  # [N, SIDE, SIDE]
    classes: NDArray[np.int64]
    operations: NDArray[np.int64]  # IGNORE where unknown, and on real images
    mask_known: NDArray[np.bool_]
    source: NDArray[np.str_]
    image: NDArray[np.str_]
    quality: NDArray[np.int64]  # of the final JPEG

    def __len__(self) -> int:
        return len(self.classes)

    def every(self, step: int) -> Corpus:
        """Every `step`-th picture from the first on; none is read."""
        return Corpus(*(getattr(self, field.name)[::step] for field in fields(self)))


def plan(
    views: Views, forged: int, operations: Sequence[Operation], seed: int
) -> list[tuple[int, int, Operation | None]]:
    """`(view, donor, operation)` of every sample: all views as they are, then `forged` forgeries.

    Photos and donors of forgeries are real views, drawn with equal weight per source.
    """
    natural: list[tuple[int, int, Operation | None]] = [(i, i, None) for i in range(len(views))]
    real = np.flatnonzero(views.label == Label.REAL)
    counts = Counter(views.source[real].tolist())
    weight = np.asarray([counts[s] ** -0.5 for s in views.source[real]])
    rng = np.random.default_rng(seed)
    pairs = rng.choice(real, (forged, 2), p=weight / weight.sum())
    return natural + [
        (int(a), int(b), operations[k % len(operations)]) for k, (a, b) in enumerate(pairs)
    ]


def build(
    views: Views, out: Path, *, forged: int, operations: Sequence[Operation], seed: int,
    qualities: tuple[int, int] = QUALITIES,
) -> Corpus:  # fmt: skip
    """Forges and recompresses into `out` (kept and re-read when complete)."""
    if not (out / "labels.npz").is_file():
        _write(views, out, plan(views, forged, operations, seed), seed, qualities)
    return load(out)


def load(out: Path) -> Corpus:
    """The corpus of a finished folder."""
    labels = np.load(out / "labels.npz")
    count = len(labels["classes"])
    rgb, masks = (np.load(out / f"{name}.npy", mmap_mode="r")[:count] for name in ("rgb", "masks"))
    return Corpus(rgb, masks, **{name: labels[name] for name in labels.files})


def _write(
    views: Views, out: Path, steps: list[tuple[int, int, Operation | None]], seed: int,
    qualities: tuple[int, int],
) -> None:  # fmt: skip
    from rich.progress import track

    out.mkdir(parents=True, exist_ok=True)
    shape = (len(steps), SIDE, SIDE)
    rgb = np.lib.format.open_memmap(out / "rgb.npy", "w+", np.uint8, (*shape, 3))
    masks = np.lib.format.open_memmap(out / "masks.npy", "w+", np.bool_, shape)
    rows = []
    with ThreadPoolExecutor(WORKERS) as pool:  # OpenCV and torch work outside of Python's lock
        made = pool.map(lambda item: _sample(views, item[0], item[1], seed), enumerate(steps))
        samples = (found for found in track(made, "forging", len(steps)) if found is not None)
        for n, (pixels, mask, row) in enumerate(samples):
            quality = int(np.random.default_rng([seed, 7, n]).integers(*qualities))
            rgb[n], masks[n] = recompress(pixels, quality).rgb, mask
            rows.append((*row, quality))
    columns = [np.asarray(column) for column in zip(*rows, strict=True)]
    names = ("classes", "operations", "mask_known", "source", "image", "quality")
    labels: dict[str, Any] = dict(zip(names, columns, strict=True))
    np.savez(out / "labels.npz", **labels)


def _sample(
    views: Views, n: int, step: tuple[int, int, Operation | None], seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], tuple[int, int, bool, str, str]] | None:
    """Pixels, mask and labels of one step of the plan; None for a photo too flat to forge."""
    i, donor, operation = step
    photo, source, image = np.asarray(views.rgb[i]), str(views.source[i]), str(views.image[i])
    if operation is None:
        label = Label(views.label[i])
        known = label is Label.REAL or (label is Label.TAMPERED and bool(views.has_mask[i]))
        done = _operation(label, source, str(views.operation[i]))
        row = (CLASSES.index(label), done, known, source, image)
        return photo, np.asarray(views.masks[i]), row
    try:
        with mixed():  # the networks' rounding is far below that of the JPEG to come
            made = forge(photo, np.asarray(views.rgb[donor]), operation, seed + n)
    except NothingAlteredError:
        return None
    known = made.label is Label.TAMPERED
    row = (CLASSES.index(made.label), OPERATIONS.index(operation), known, source, image)
    return made.rgb, made.mask, row


def _operation(label: Label, source: str, said: str) -> int:
    if label is not Label.REAL and said in OPERATIONS:
        return OPERATIONS.index(Operation(said))
    if label is Label.SYNTHETIC:
        return OPERATIONS.index(Operation.FULL_GENERATION)
    if label is Label.TAMPERED and source in SOURCE_OPERATION:
        return OPERATIONS.index(SOURCE_OPERATION[source])
    return IGNORE
