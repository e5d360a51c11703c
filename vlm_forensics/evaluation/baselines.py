"""What the model has to beat: a look at the file alone, frozen features, single maps."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax

from vlm_forensics import weights
from vlm_forensics.errors import PrerequisiteError
from vlm_forensics.evaluation.judged import MapScores
from vlm_forensics.evaluation.masks import pixel_f1
from vlm_forensics.evaluation.metrics import auc, within_folds
from vlm_forensics.features import measure_all
from vlm_forensics.features.base import Pixels
from vlm_forensics.fetching import file_sha256
from vlm_forensics.training_free.scores import SCORES, Score

FORMATS = ("JPEG", "PNG", "WEBP")
MAPS = ("ela", "noise_level")
MAP_THRESHOLDS: tuple[float, ...] = tuple(np.geomspace(0.05, 60, 60).round(4).tolist())
"""Grey levels at which a single map is cut."""

Tapped = dict[str, NDArray[np.float64]]
"""What passed through the adapter while a picture was judged, and its training-free scores; empty
for a model without an adapter."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A row beside ours in the table of methods. A new one is a new entry of `BASELINES`."""

    name: str
    """Of its numbers in the cache; change it when `measure` changes."""
    title: str
    """In the table, with what it was fitted on."""
    measure: Callable[[Pixels, Tapped], Sequence[float] | None]
    """Numbers of one picture; None when this model or picture has none."""
    scores: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """`[N, k]` numbers of all pictures to `[N]` scores, higher = forged, or to `[N, 3]` class
    probabilities; a forgery is called at 0.5 or more."""
    calls: bool = True
    """False for a score without a threshold, which only ranks."""


def _tapped(name: str) -> Callable[[Pixels, Tapped], Sequence[float] | None]:
    def measure(_image: Pixels, tapped: Tapped) -> Sequence[float] | None:
        return tapped[name].tolist() if name in tapped else None

    return measure


def _class_shares(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(softmax(logits, axis=1))


def _synthetic_share(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(softmax(logits[:, :2], axis=1)[:, 1])


def _training_free(score: Score) -> Baseline:
    # With its settings, so that numbers measured under others are not taken from the cache.
    name = f"{score.name} {score.settings}".strip()
    return Baseline(name, f"{score.title}, no training", _tapped(score.name),
                    lambda values: score.oriented(values[:, 0]), calls=False)  # fmt: skip


def _trained(name: str, title: str) -> Baseline:
    def measure(image: Pixels, _tapped: Tapped) -> list[float]:
        from vlm_forensics.model import residual_cnn

        return [residual_cnn.load(name).judge(image.rgb)]

    # With its weights, so that the numbers of earlier ones are not taken from the cache.
    digest = file_sha256(weights.baseline_file(name))[:8]
    return Baseline(f"{name} {digest}", f"{title}, real / synthetic only", measure,
                    lambda values: values[:, 0])  # fmt: skip


BASELINES: tuple[Baseline, ...] = (
    Baseline("tuned", "built-in model, called at 0.5", _tapped("tuned"), lambda shares: shares),
    Baseline("vision", "linear probe on the frozen vision encoder", _tapped("vision"),
             _class_shares),
    Baseline("vision", "linear probe, real / synthetic only", _tapped("vision"),
             _synthetic_share),
    Baseline("low_level", "low-level stream alone", _tapped("low_level"), _class_shares),
    _trained("npr_cnn", "NPR-CNN (Tan et al., retrained)"),
    _trained("dwt_hh_cnn", "DWT-HH-CNN (SAFE, retrained)"),
    *map(_training_free, SCORES),
)  # fmt: skip
"""Image level. The majority class, which needs no measurement, comes on top."""


def tap(adapter: Any, last_layer: Any, output: Any) -> Tapped:
    """What the baselines need of one forward pass of the adapter.

    Args:
        adapter: `model.adapter.DetectionAdapter`.
        last_layer: `[1, 1 + P, D]`, the last shallow layer that it reads.
        output: its `AdapterOutput`.
    """
    from vlm_forensics.model.adapter import pool

    found = {"low_level": output.low_level_logits[0]}
    # A probe that weighs nothing in the class logits was never fitted.
    if adapter.get_buffer("class_mix")[2].any():
        found["vision"] = adapter.vision_head(pool(last_layer.float()))[0]
    return {name: value.detach().double().cpu().numpy() for name, value in found.items()}


def measured(image: Pixels, tapped: Tapped) -> dict[str, tuple[float, ...]]:
    """The numbers of every baseline that this picture has."""
    found = {baseline.name: baseline.measure(image, tapped) for baseline in BASELINES}
    return {name: tuple(value) for name, value in found.items() if value is not None}


def file_facts(data: bytes) -> list[float]:
    """What a file shows without its pixels.

    Returns:
        One-hot of `FORMATS`, width, height, mean luma quantiser (0 where there is none), and
        last bytes per pixel.
    """
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        tables: dict[int, Sequence[int]] = getattr(image, "quantization", None) or {}
        kind = [float(image.format == name) for name in FORMATS]
    quantiser = float(np.mean(tables[min(tables)])) if tables else 0.0
    return [*kind, width, height, quantiser, len(data) / (width * height)]


def shortcut_scores(
    facts: NDArray[np.float64], positive: NDArray[np.bool_], folds: int = 5
) -> NDArray[np.float64]:
    """Cross-validated scores of a random forest on file facts, ranked within their fold.

    An AUC far from 0.5 says that the classes differ in something that is not forgery.
    """
    try:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import StratifiedKFold
    except ImportError as error:
        raise PrerequisiteError("scikit-learn", "train") from error

    folds = min(folds, int(positive.sum()), int((~positive).sum()))
    if folds < 2:
        return np.full(len(positive), np.nan)
    scores, groups = np.zeros(len(positive)), np.zeros(len(positive), int)
    split = StratifiedKFold(folds, shuffle=True, random_state=0).split(facts, positive)
    for group, (train, test) in enumerate(split):
        forest = RandomForestClassifier(200, min_samples_leaf=2, random_state=0)
        forest.fit(facts[train], positive[train])
        scores[test], groups[test] = forest.predict_proba(facts[test])[:, 1], group
    return within_folds(scores, groups)


def map_scores(image: Pixels, truth: NDArray[np.bool_]) -> dict[str, MapScores]:
    """How well every one of `MAPS`, alone, finds the altered pixels.

    Args:
        image: the picture.
        truth: `[H, W]`, some pixels altered and some not.
    """
    height, width = truth.shape
    found = {}
    for name, measured_map in measure_all(image, MAPS).items():
        if measured_map.map is None:  # the feature failed: nothing is marked
            response = np.zeros((height, width), np.float32)
        else:
            response = np.asarray(
                cv2.resize(measured_map.map, (width, height), interpolation=cv2.INTER_LINEAR),
                np.float32)  # fmt: skip
        area = auc(truth.ravel(), response.ravel())
        found[name] = MapScores(
            auc=None if np.isnan(area) else area,
            otsu=pixel_f1(truth, response > _otsu(response)),
            cuts=tuple(round(pixel_f1(truth, response >= cut), 4) for cut in MAP_THRESHOLDS),
        )
    return found


def _otsu(response: NDArray[np.float32]) -> float:
    """Otsu's threshold (1979) over 256 levels between the least and greatest response."""
    low, high = float(response.min()), float(response.max())
    if low == high:
        return high  # nothing is above it
    levels = np.asarray(np.rint((response - low) / (high - low) * 255), np.uint8)
    cut, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return low + (float(cut) + 0.5) / 255 * (high - low)


def best_cuts(found: Sequence[dict[str, MapScores]]) -> dict[str, int]:
    """Index of the cut of every map with the best mean F1 over these pictures.

    Only for pictures that are not evaluated; none gives an empty answer.
    """
    if not found:
        return {}
    return {name: int(np.mean([maps[name].cuts for maps in found], axis=0).argmax())
            for name in MAPS}  # fmt: skip
