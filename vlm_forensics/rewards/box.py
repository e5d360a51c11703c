"""Do the boxes of the claims lie where the picture was altered?"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.annotating.checking import box_mask
from vlm_forensics.rewards.base import Completion, Facts, Reward, iou
from vlm_forensics.taxonomy import Label


class Box(Reward):
    """Overlap of boxes written as text (So-Fake-R1's localisation reward)."""

    name: ClassVar[str] = "box"
    formula: ClassVar[str] = (
        "IoU of all boxes of the claims together with the bounding boxes of the altered areas "
        "together; 0 without a box. Nothing unless the sample is tampered and its mask known."
    )

    def __call__(self, said: Completion, facts: Facts) -> float | None:
        """In [0, 1]."""
        if facts.label is not Label.TAMPERED or facts.mask is None or not facts.mask.any():
            return None
        height, width = facts.mask.shape
        claimed = np.zeros((height, width), bool)
        for claim in said.claims:
            if claim.box is not None:
                claimed |= box_mask(claim.box, height, width)
        return iou(claimed, bounding_boxes(facts.mask))


def bounding_boxes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`[H, W]` the bounding box of every connected part of the mask, filled."""
    filled = np.zeros(mask.shape, bool)
    parts = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[2]
    for x, y, width, height, _ in parts[1:]:  # the first is everything else
        filled[y : y + height, x : x + width] = True
    return filled
