"""Pixel scores of masks."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Overlap(NamedTuple):
    """Pixel counts of a true and a predicted mask."""

    truth: int
    predicted: int
    both: int

    @classmethod
    def of(cls, truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Self:
        """The counts of two masks of one shape.

        Raises:
            ValueError: the shapes differ, as they do when one of the two was rotated.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"masks of {truth.shape} and {predicted.shape}")
        return cls(int(truth.sum()), int(predicted.sum()), int((truth & predicted).sum()))

    @property
    def f1(self) -> float:
        """F1 of the altered pixels, in [0, 1]; 1 when both masks are empty."""
        total = self.truth + self.predicted
        return 2 * self.both / total if total else 1.0

    @property
    def iou(self) -> float:
        """Intersection over union, in [0, 1]; 1 when both masks are empty."""
        union = self.truth + self.predicted - self.both
        return self.both / union if union else 1.0


def pixel_f1(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """F1 of the altered pixels, in [0, 1]; 1 when both masks are empty."""
    return Overlap.of(truth, predicted).f1


def cumulative_iou(counts: ArrayLike) -> float:
    """Sum of intersections over sum of unions (cIoU of LISA and SIDA).

    Args:
        counts: `[N, 3]` rows of `Overlap`.

    Returns:
        In [0, 1]; NaN when no pixel is in any mask.
    """
    truth, predicted, both = np.asarray(counts, np.float64).reshape(-1, 3).sum(axis=0)
    union = truth + predicted - both
    return float(both / union) if union else float("nan")
