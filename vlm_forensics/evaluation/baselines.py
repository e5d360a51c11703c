"""What the model has to beat: a look at the file alone, frozen features, single maps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_forensics.evaluation.masks import pixel_f1
from vlm_forensics.evaluation.metrics import within_folds
from vlm_forensics.features import measure_all
from vlm_forensics.features.base import Pixels

FORMATS = ("JPEG", "PNG", "WEBP")
MAPS = ("ela", "noise_level")
MAP_THRESHOLDS: tuple[float, ...] = tuple(np.geomspace(0.05, 60, 60).round(4).tolist())
"""Grey levels at which a single map is cut."""
PROBE_PICTURES = 6000


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
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold

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


def linear_probe(work: Path) -> Any:
    """Logistic regression, real against synthetic, on the frozen encoder's last used layer.

    Fitted on the natural pictures of the training corpus in `work`, at most `PROBE_PICTURES`;
    nothing that the forge made.

    Returns:
        A scikit-learn pipeline over `model.adapter.pool` of that layer.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from vlm_forensics.model.vocabulary import CLASSES, OPERATIONS
    from vlm_forensics.taxonomy import Label, Operation

    labels = np.load(work / "corpus" / "labels.npz")
    synthetic = labels["classes"] == CLASSES.index(Label.SYNTHETIC)
    # The forge makes no full generations, so these are pictures of real generators.
    generated = synthetic & (labels["operations"] == OPERATIONS.index(Operation.FULL_GENERATION))
    natural = np.flatnonzero(generated | (labels["classes"] == CLASSES.index(Label.REAL)))
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(natural, min(PROBE_PICTURES, len(natural)), replace=False))
    states = np.load(work / "states.npy", mmap_mode="r")
    model = LogisticRegression(C=0.003, class_weight="balanced", max_iter=2000)
    return make_pipeline(StandardScaler(), model).fit(pooled(states, chosen), synthetic[chosen])


def pooled(states: NDArray[Any], chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """`model.adapter.pool` of the last cached layer of the chosen pictures, `[n, 3D]`."""
    import torch

    from vlm_forensics.model.adapter import pool

    parts = np.array_split(chosen, -(-len(chosen) // 256))
    found = [pool(torch.from_numpy(np.asarray(states[part, -1], np.float32))) for part in parts]
    return np.asarray(torch.cat(found).numpy())


def map_f1(image: Pixels, truth: NDArray[np.bool_]) -> dict[str, list[float]]:
    """Pixel F1 of every single map at every one of `MAP_THRESHOLDS`."""
    height, width = truth.shape
    found = {}
    for name, measured in measure_all(image, MAPS).items():
        if measured.map is None:  # the feature failed: nothing is marked
            found[name] = [pixel_f1(truth, np.zeros_like(truth))] * len(MAP_THRESHOLDS)
            continue
        response = cv2.resize(measured.map, (width, height), interpolation=cv2.INTER_LINEAR)
        found[name] = [round(pixel_f1(truth, response >= cut), 4) for cut in MAP_THRESHOLDS]
    return found
