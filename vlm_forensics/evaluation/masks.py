"""Pixel scores of masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pixel_f1(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """F1 of the altered pixels, in [0, 1]; 1 when both masks are empty."""
    both, total = int((truth & predicted).sum()), int(truth.sum()) + int(predicted.sum())
    return 2 * both / total if total else 1.0
