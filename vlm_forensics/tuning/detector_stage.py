"""Stage A on any backbone: adapter, mask decoder and heads on cached tower states, calibrated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from vlm_forensics.calibration import Calibration
from vlm_forensics.errors import InputError
from vlm_forensics.features.reference import Reference
from vlm_forensics.fitting import calibrate, detection_stage, rationales, vision_cache
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.detection_stage import DetectionDataset, DetectionParts
from vlm_forensics.model.vocabulary import CLASSES
from vlm_forensics.taxonomy import Label
from vlm_forensics.tuning import draws, examples
from vlm_forensics.tuning.settings import Sft, views_each
from vlm_forensics.tuning.start import Start

_PARTS = "parts.safetensors"
_CALIBRATION = {"compared_from": 0.1, "max_false_accusation": 0.05, "max_false_claims": 0.1,
                "max_missed": 0.2}  # fmt: skip
_FEWEST = 20
"""Real validation pictures; with fewer no promise on false accusations can be kept."""
_PHOTOGRAPHS = 400
"""Real pictures that the range of ordinary measurements is taken from, where there are so many."""


def finished(out: Path) -> bool:
    """Nothing is left to be trained there."""
    return (out / _PARTS).is_file()


def train(start: Start, train_set: Corpus, val_set: Corpus, settings: Sft, out: Path) -> None:
    """Trains and calibrates the detector of `start` in place; keeps every step in `out`.

    Calibration is fitted on validation and the range of ordinary measurements on original
    pictures: neither sees a changed copy.

    Raises:
        InputError: validation holds too few real pictures.
    """
    reals = int((val_set.classes == CLASSES.index(Label.REAL)).sum())
    if reals < _FEWEST:
        raise InputError("too_few_images", f"validation holds {reals} real pictures",
                         hint=f"a calibration needs {_FEWEST} or more in data.val")  # fmt: skip
    parts = _parts(start, train_set, val_set, settings, out)
    start.model.adapter, start.model.mask_decoder = parts.adapter, parts.mask_decoder
    start.model.adapter.to(start.model.device)
    start.model.mask_decoder.to(start.model.device)
    start.calibration = _calibration(start, val_set, out / "calibration.json")
    originals = train_set.every(views_each(settings.detection.augment))
    start.reference = _reference(originals, settings.seed, out / "reference.json")


def _parts(
    start: Start, train_set: Corpus, val_set: Corpus, settings: Sft, out: Path
) -> DetectionParts:
    """Trained detection parts with their probe, from the file of a finished run or made now."""
    path = out / _PARTS
    parts = DetectionParts(start.model.config)
    if path.is_file():
        parts.load_state_dict(load_file(path))
        return parts
    read = vision_cache.of_model(start.model)
    states = vision_cache.cache(read, train_set.rgb, out / "states.npy")
    held_out = vision_cache.cache(read, val_set.rgb, out / "val_states.npy")
    index, wanted = np.arange(len(train_set)), settings.detection
    data = DetectionDataset(train_set, states, index, settings.seed)
    parts = detection_stage.train(
        start.model.config, data, out, seed=settings.seed, steps=wanted.steps, batch=wanted.batch,
        learning_rate=wanted.learning_rate,
        sampler=draws.sampler(wanted.sampler, train_set, index, settings.seed),
    ).cpu()  # fmt: skip
    calibrate.install_probe(parts, train_set, states, val_set, held_out)
    save_file(parts.state_dict(), path)
    return parts


def _calibration(start: Start, found: Corpus, path: Path) -> Calibration:
    if not path.is_file():
        predicted = examples.predict(start.model, found.rgb)
        calibrate.fit(found, predicted, _CALIBRATION).save(path)
    return Calibration.load(path)


def _reference(found: Corpus, seed: int, path: Path) -> Reference:
    if not path.is_file():
        rng = np.random.default_rng(seed)
        reals = np.flatnonzero(found.classes == CLASSES.index(Label.REAL))
        local = np.flatnonzero(found.mask_known & (found.classes == CLASSES.index(Label.TAMPERED)))
        chosen = rng.choice(reals, min(_PHOTOGRAPHS, len(reals)), replace=False)
        borrowed = rng.choice(local, len(chosen))
        rationales.reference(found, borrowed.tolist(), chosen.tolist(), 2).save(path)
    return Reference.load(path)
