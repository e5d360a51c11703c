"""Training examples: equalised pictures with the prompt the tool would give and the true answer.

A folder of any known layout becomes squares of one size and compression; the starting model's
detector and the features say what the prompt will hold; the answer is composed from what is known
to have been done and what was measured there.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from vlm_forensics import datasets
from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.equalise import QUALITY
from vlm_forensics.errors import InputError
from vlm_forensics.fitting import copies, rationales, views
from vlm_forensics.fitting import corpus as corpora
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.language_stage import Rationale
from vlm_forensics.fitting.sampling import draw
from vlm_forensics.fitting.views import Views
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.model.losses import IGNORE
from vlm_forensics.model.vocabulary import CLASSES, OPERATIONS
from vlm_forensics.taxonomy import Label, Operation
from vlm_forensics.tuning.settings import Augment, views_each

if TYPE_CHECKING:
    from vlm_forensics.model.modeling import VlmForensicsModel
    from vlm_forensics.tuning.start import Start

log = logging.getLogger(__name__)
_BATCH = 16
FOR_TEXT = ("adapter.to_text.", "adapter.attend.", "adapter.queries", "adapter.decision.",
            "mask_decoder.from_text.")  # fmt: skip
"""Parts that serve the language model: stage B trains them, and no judgement depends on them."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Pictures and what is to be said of some of them."""

    corpus: Corpus
    rationales: tuple[Rationale, ...]

    def __len__(self) -> int:
        return len(self.rationales)

    def label(self, item: int) -> Label:
        """The true label of an example."""
        return CLASSES[int(self.corpus.classes[self.rationales[item].index])]

    def operation(self, item: int) -> Operation | None:
        """What was done, where it is known."""
        found = int(self.corpus.operations[self.rationales[item].index])
        return None if found == IGNORE or self.label(item) is Label.REAL else OPERATIONS[found]

    def mask(self, item: int) -> NDArray[np.bool_] | None:
        """`[SIDE, SIDE]` the altered area, where it is known."""
        n = self.rationales[item].index
        return np.asarray(self.corpus.masks[n]) if self.corpus.mask_known[n] else None


def corpus(
    folders: Sequence[Path], split: str, work: Path, *, seed: int, augment: Augment | None = None
) -> Corpus:
    """Equalised pictures of one split of all folders; kept below `work` and re-read.

    With `augment` every picture is followed by its changed copies. A picture that does not decode
    is left out and counted.

    Raises:
        InputError: a folder is none, or nothing in it can be used.
    """
    samples = [sample for folder in folders for sample in _of_split(folder, split)]
    facts = [f"{s.source}/{s.id}" for s in samples]
    place = work / f"{split}-{_key([*facts, *_facts(augment)], seed)}"
    cut = _views(samples, place / "views", augment, seed)
    if missing := len(samples) - len(cut) // views_each(augment):
        log.warning("%s: %d of %d pictures do not decode and are left out", split, missing,
                    len(samples))  # fmt: skip
    qualities = corpora.QUALITIES if split == "train" else (QUALITY, QUALITY + 1)
    return corpora.build(cut, place / "corpus", forged=0, operations=(), seed=seed,
                         qualities=qualities)  # fmt: skip


def _views(samples: Sequence[Sample], out: Path, augment: Augment | None, seed: int) -> Views:
    if augment is None:
        return views.build(samples, out, per_image=1, seed=seed)
    changes = tuple(augment.transforms.values())
    return copies.build(samples, out, changes, copies=augment.copies, seed=seed)


def _facts(augment: Augment | None) -> list[str]:
    return [augment.model_dump_json()] if augment else []


def _of_split(folder: Path, split: str) -> list[Sample]:
    """The folder's split of this name; all of a folder that has no other split than train."""
    listing = datasets.open_dataset(folder)
    for skipped in listing.skipped:
        log.warning("%s: %s left out: %s", folder.name, skipped.where, skipped.why)
    chosen = [sample for sample in listing.samples if sample.split == split]
    whole = {sample.split for sample in listing.samples} <= {"", "train"}
    found = chosen or (list(listing.samples) if whole else [])
    if not found:
        raise InputError("empty_dataset", f"{folder.name} has no split {split}",
                         hint="vlmf data check DIR shows what a folder holds")  # fmt: skip
    return found


def _key(parts: Sequence[str], seed: int) -> str:
    return hashlib.sha256(json.dumps([seed, *parts]).encode()).hexdigest()[:12]


def build(
    start: Start, found: Corpus, count: int, work: Path, *, real: float, seed: int,
    augment: Augment | None = None,
) -> Examples:  # fmt: skip
    """Examples of a draw; measured once and re-read.

    Args:
        start: its detector says what the prompts hold; it must be calibrated.
        found: the pictures.
        count: at most so many.
        work: folder of the cache.
        real: share of real pictures.
        seed: of the draw and of the wording.
        augment: what the pictures were made with; other copies are other measurements.
    """
    if start.calibration is None or start.reference is None:
        raise ValueError("the detector is not calibrated yet")
    index = draw(found, count, real, np.random.default_rng(seed))
    facts = [_detector(start.model), start.calibration.model_dump_json(),
             *found.image[index].tolist(), *_facts(augment)]  # fmt: skip
    place = work / f"examples-{_key(facts, seed)}.jsonl"
    if not place.is_file():
        work.mkdir(parents=True, exist_ok=True)
        predicted = predict(start.model, found.rgb[index])
        seen = [rationales.Seen.of(predicted, n) for n in range(len(index))]
        rationales.build(found, index.tolist(), seen, start.reference, start.calibration, place,
                         seed=seed, workers=2)  # fmt: skip
    return Examples(found, tuple(rationales.read(place)))


def _detector(model: VlmForensicsModel) -> str:
    """Digest of what decides the prompts' first line."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if name.startswith(("adapter.", "mask_decoder.")) and not name.startswith(FOR_TEXT):
            digest.update(value.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def predict(model: VlmForensicsModel, rgb: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """What the detector says of `[N, SIDE, SIDE, 3]`, as `detection_stage.predict`."""
    from rich.progress import track

    model.train(False)
    found: dict[str, list[NDArray[np.float32]]] = {}
    for first in track(range(0, len(rgb), _BATCH), "detecting"):
        overview = to_tensor(np.asarray(rgb[first : first + _BATCH])).to(model.device)
        seen = model.detect(model.pixels(overview), overview)
        out = seen.adapter
        values = {
            "class": out.class_logits,
            "low_level": out.low_level_logits,
            "operation": out.operation_logits,
            "mask": seen.mask_logits.sigmoid(),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(value.float().cpu().numpy())
    return {name: np.concatenate(batches) for name, batches in found.items()}
