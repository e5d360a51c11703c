"""Temperature, abstain band and mask threshold, all from the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from vlm_forensics import fusion
from vlm_forensics.backbones.mini import VISION_SIZE
from vlm_forensics.calibration import (
    Calibration,
    fit_abstain_band,
    fit_copy_move_odds,
    fit_signals,
    fit_temperature,
    reached_by,
)
from vlm_forensics.datasets.equalise import QUALITY
from vlm_forensics.evaluation.masks import pixel_f1
from vlm_forensics.fitting import blend as blending
from vlm_forensics.fitting import corpus as corpora
from vlm_forensics.fitting import detection_stage, rationales, recipe, vision_cache
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.model.losses import IGNORE
from vlm_forensics.model.vocabulary import CLASSES, OPERATIONS
from vlm_forensics.taxonomy import Label, Operation

MASK_THRESHOLDS = tuple(np.round(np.arange(0.1, 0.95, 0.05), 2).tolist())


def validation_corpus(data: Sequence[Path], work: Path, config: dict[str, Any]) -> Corpus:
    """Equalised validation pictures, and forgeries of its photographs with equal operations."""
    operations = [op for op in OPERATIONS if op is not Operation.FULL_GENERATION]
    return corpora.build(
        recipe.split_views(data, work, "val", 1), work / "val",
        forged=config["calibration"]["forged"], operations=operations, seed=config["seed"] + 1,
        qualities=(QUALITY, QUALITY + 1),
    )  # fmt: skip


def validation_states(found: Corpus, work: Path) -> NDArray[np.float16]:
    """Hidden states of the validation pictures, computed once."""
    read = vision_cache.of_tower(recipe.vision_tower(), recipe.layers(), VISION_SIZE)
    return vision_cache.cache(read, found.rgb, work / "val_states.npy")


def blend(data: Sequence[Path], work: Path, config: dict[str, Any]) -> list[list[float]]:
    """Fits probe and head weights and writes the finished detection parts."""
    from safetensors.torch import save_file

    corpus, states = recipe.cached(work)
    found = validation_corpus(data, work, config)
    held_out = validation_states(found, work)
    parts = recipe.detection_parts(work, recipe.UNBLENDED)
    mix = install_probe(parts, corpus, states, found, held_out)
    save_file(parts.state_dict(), work / "detection" / recipe.BLENDED)
    return mix


def install_probe(
    parts: detection_stage.DetectionParts, corpus: Corpus, states: NDArray[np.float16],
    found: Corpus, held_out: NDArray[np.float16],
) -> list[list[float]]:  # fmt: skip
    """Fits the probe on training pictures and the weights of the heads on validation, in place."""
    probe = blending.fit_probe(blending.pooled(states), corpus)
    predicted = detection_stage.predict(parts, found.rgb, held_out)
    heads = np.stack([
        predicted["class"] - predicted["low_level"],  # the two add up before the blend
        predicted["low_level"],
        blending.pooled(held_out) @ probe[0].T + probe[1],
    ]).astype(np.float32)  # fmt: skip
    mix = blending.fit_mix(heads, found.classes)
    blending.install(parts, probe, mix)
    rounded: list[list[float]] = mix.round(3).tolist()
    return rounded


def calibrate(data: Sequence[Path], work: Path, config: dict[str, Any]) -> Calibration:
    """Fits the calibration of stage A and writes it into `work`."""
    found = validation_corpus(data, work, config)
    states = validation_states(found, work)
    predicted = detection_stage.predict(recipe.detection_parts(work), found.rgb, states)
    result = fit(found, predicted, config["calibration"])
    result.save(work / "calibration.json")
    return result


def fit(
    found: Corpus, predicted: dict[str, NDArray[np.float32]], settings: dict[str, Any]
) -> Calibration:
    """The calibration of these validation predictions."""
    seen = [rationales.Seen.of(predicted, n) for n in range(len(found))]
    fused = rationales.fuse_all(found.rgb, seen, settings["compared_from"], recipe.WORKERS)
    columns = {name: np.asarray([f.signals[name] for f in fused]) for name in fusion.SIGNALS}
    draft = _with_signals(found, predicted, columns)
    logits = draft.fused(predicted["class"], columns)
    scaling = fit_temperature(logits, found.classes)
    draft = draft.model_copy(update=scaling._asdict())
    shares = draft.probabilities(logits)
    real = found.classes == CLASSES.index(Label.REAL)
    band = fit_abstain_band(1 - shares[:, 0], real, settings["max_false_accusation"],
                            settings["max_missed"])  # fmt: skip
    threshold = mask_threshold(found, [f.heatmap for f in fused], shares, band.low)
    claims_from = min(band.high, reached_by(1 - shares[real, 0], settings["max_false_claims"]))
    return draft.model_copy(update={"abstain_low": band.low, "abstain_high": band.high,
                                    "claims_from": claims_from,
                                    "mask_threshold": threshold})  # fmt: skip


def _with_signals(
    found: Corpus, predicted: dict[str, NDArray[np.float32]],
    columns: dict[str, NDArray[np.float64]],
) -> Calibration:  # fmt: skip
    """A calibration that knows what the signals add, and nothing else yet."""
    named = (found.operations != IGNORE) & (found.classes == CLASSES.index(Label.TAMPERED))
    place = OPERATIONS.index(Operation.COPY_MOVE)
    odds = fit_copy_move_odds(
        softmax(predicted["operation"][named].astype(np.float64), axis=1),
        columns["copy_move"][named], found.operations[named] == place, place,
    )  # fmt: skip
    return Calibration(
        id=f"val-{len(found)}-signals-vector-scaling", temperature=1.0, bias=(0.0, 0.0, 0.0),
        abstain_low=0.0, abstain_high=1.0, mask_threshold=0.5, copy_move_odds=odds,
        signals=fit_signals(predicted["class"], columns, {n: fusion.toward(n) for n in columns},
                            found.classes),
    )  # fmt: skip


def mask_threshold(
    found: Corpus, heatmaps: Sequence[NDArray[np.float32]], shares: NDArray[np.float64], low: float
) -> float:
    """The threshold with the best mean pixel F1 of what reports show on tampered pictures.

    A mask is shown where tampering is found or may be: where the probability of forgery reaches
    `low`, below which a picture is called real, and tampered is no less likely than synthetic. A
    picture without a mask counts 0. To count only what is called tampered would leave so few
    pictures that the choice follows the draw of the forgeries.

    Args:
        found: validation pictures.
        heatmaps: `[SIDE, SIDE]` in [0, 1], one a picture.
        shares: `[N, 3]` calibrated probabilities.
        low: lower end of the abstain band.
    """
    synthetic, tampered = CLASSES.index(Label.SYNTHETIC), CLASSES.index(Label.TAMPERED)
    chosen = np.flatnonzero((found.classes == tampered) & found.mask_known)
    truths = [np.asarray(found.masks[i]) for i in chosen]
    maps = [heatmaps[int(i)] for i in chosen]
    likely = shares[chosen]
    shown = (1 - likely[:, 0] >= low) & (likely[:, tampered] >= likely[:, synthetic])

    def score(threshold: float) -> float:
        pairs = zip(truths, maps, shown, strict=True)
        return float(np.mean([pixel_f1(t, m >= threshold) if s else 0.0 for t, m, s in pairs]))

    return float(max(MASK_THRESHOLDS, key=score))
