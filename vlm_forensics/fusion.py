"""What is added to the network's class logits, operations and mask.

A network of this size does not see that two areas of a picture are equal; the copy-move feature
does. And its operation head tells some operations from real pictures far better than its class
head does. Weights are fitted on validation pictures and stored with the calibration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features.base import FloatMap, Measurement
from vlm_forensics.features.clues import CONTRASTS, Clue
from vlm_forensics.taxonomy import Forged, Label, Operation

PEAK = "peak"
WHOLE = {f"head:{op}": op for op in (Operation.WHOLE_SUPER_RESOLUTION, Operation.WHOLE_AUTOENCODER)}
"""Operations on the whole picture whose log-odds are signals. Those of local operations rank
tampered pictures no better, and full generation the probe ranks better."""
SIGNALS = ("copy_move", *CONTRASTS, PEAK, *WHOLE)
"""Names of the signals: matches, contrasts inside the marked area, how hot its peak is, and how far
the operation head prefers an operation to all others together."""
_LARGEST = 4.0
"""Contrasts beyond a factor of 16 say no more than one of 16."""
_PEAK_SHARE = 0.02
_CERTAIN = 0.02
"""Mask values closer than this to 0 or 1 count as so close."""
_SURE = 1e-3
"""Shares of operations likewise."""


def toward(signal: str) -> Forged:
    """The class for which the signal speaks."""
    return Label.SYNTHETIC if signal in WHOLE else Label.TAMPERED


def signals(
    found: Sequence[Clue], heatmap: NDArray[np.float32], operations: Mapping[Operation, float]
) -> dict[str, float]:
    """The signals of a picture, all finite.

    Args:
        found: its clues.
        heatmap: `[H, W]` in [0, 1].
        operations: shares of the operation head, summing to 1; empty for a model without it.
    """
    values = dict.fromkeys(SIGNALS, 0.0)
    values |= {name: _preferred(operations.get(op, 0.0)) for name, op in WHOLE.items()}
    for clue in found:
        if clue.feature == "copy_move" and not clue.local:
            values["copy_move"] = math.log1p(max(clue.value, 0.0))
        elif clue.local:
            values[clue.feature] = min(abs(clue.value), _LARGEST)
    values[PEAK] = _peak(heatmap)
    return values


def _peak(heatmap: NDArray[np.float32]) -> float:
    """Log-odds of the mean of the hottest fiftieth of the picture."""
    small = cv2.resize(heatmap, (64, 64), interpolation=cv2.INTER_AREA).ravel()
    count = int(_PEAK_SHARE * small.size)
    return _log_odds(float(np.partition(small, -count)[-count:].mean()), _CERTAIN)


def _preferred(share: float) -> float:
    """Log-odds of an operation, 0 below even ones.

    Down there they order real pictures by softness, which costs the ranking of generated ones.
    """
    return max(_log_odds(share, _SURE), 0.0)


def _log_odds(share: float, closest: float) -> float:
    clipped = min(max(share, closest), 1 - closest)
    return math.log(clipped / (1 - clipped))


def with_clones(heatmap: NDArray[np.float32], copy_move: Measurement | None) -> NDArray[np.float32]:
    """The heat map with copies marked: of two equal areas the one that it finds more altered.

    Args:
        heatmap: `[H, W]` in [0, 1].
        copy_move: the measurement; its boxes come in pairs.
    """
    if copy_move is None or copy_move.map is None or not copy_move.boxes:
        return heatmap
    height, width = copy_move.map.shape
    heat = cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_AREA)
    scale = width / heatmap.shape[1], height / heatmap.shape[0]
    marked = np.zeros((height, width), np.float32)
    pairs = zip(copy_move.boxes[::2], copy_move.boxes[1::2], strict=True)
    for pair in pairs:
        areas = [_inside(copy_move.map, box, scale) for box in pair]
        marked[max(areas, key=lambda area: _mean(heat, area))] = 1.0
    size = heatmap.shape[1], heatmap.shape[0]
    copies = cv2.resize(marked, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.maximum(heatmap, copies), np.float32)


def _inside(
    response: FloatMap, box: tuple[int, int, int, int], scale: tuple[float, float]
) -> NDArray[np.bool_]:
    x0, y0, x1, y1 = box
    area = np.zeros(response.shape, bool)
    rows = slice(int(y0 * scale[1]), math.ceil(y1 * scale[1]))
    columns = slice(int(x0 * scale[0]), math.ceil(x1 * scale[0]))
    area[rows, columns] = response[rows, columns] > 0
    return area


def _mean(heat: NDArray[np.float32], area: NDArray[np.bool_]) -> float:
    return float(heat[area].mean()) if area.any() else 0.0
