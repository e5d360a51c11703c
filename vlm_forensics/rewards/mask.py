"""Is the mask that `[SEG]` asked for right, end to end?"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.rewards.base import Completion, Facts, Reward, iou
from vlm_forensics.taxonomy import Label


class Mask(Reward):
    """Pixel IoU through the mask decoder, the truth never given away."""

    name: ClassVar[str] = "mask"
    formula: ClassVar[str] = (
        "Tampered: pixel IoU of the decoded mask with the true one, 0 for an answer without "
        "[SEG]. Real: 1 if the answer says so and nothing is marked, else 0. Nothing on synthetic "
        "samples, where the true mask is unknown, and where [SEG] was written and not decoded."
    )

    def __call__(self, said: Completion, facts: Facts) -> float | None:
        """In [0, 1]."""
        truth = _truth(facts)
        if truth is None:
            return None
        if said.answer is None:
            return 0.0
        # Who calls a real picture altered and leaves [SEG] out has not marked it rightly.
        if facts.label is Label.REAL and said.answer.verdict is not Label.REAL:
            return 0.0
        if not said.answer.segmented:
            return float(not truth.any())
        if facts.predicted_mask is None:
            return None
        return iou(_resized(facts.predicted_mask, truth.shape), truth)


def _truth(facts: Facts) -> NDArray[np.bool_] | None:
    if facts.label is Label.TAMPERED:
        return facts.mask
    if facts.label is not Label.REAL:
        return None
    known = facts.mask if facts.mask is not None else facts.predicted_mask
    return np.zeros((1, 1) if known is None else known.shape, bool)


def _resized(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if mask.shape == shape:
        return mask
    size = shape[1], shape[0]
    resized = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized > 0)
