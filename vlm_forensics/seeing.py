"""What a model found on one image, whichever library computed it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.taxonomy import Operation

if TYPE_CHECKING:
    from vlm_forensics.model.light import LightDetection
    from vlm_forensics.model.modeling import Detection


@dataclass(frozen=True, slots=True)
class Seen:
    """What the model found on one image, before any word."""

    class_logits: NDArray[np.float64]  # [3]
    operations: dict[Operation, float]
    """Empty for a model that names none."""
    heatmap: NDArray[np.float32] | None
    """`[H, W]` in [0, 1], stored grid; None for a model that marks no place."""
    score: float
    """Uncalibrated probability of forgery."""
    found: Detection | LightDetection | None = field(repr=False)
    """What the language model is shown; None for a model without one."""


def on_grid(mask: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Mask values `[h, w]` enlarged to `size`, the `(H, W)` of the stored grid."""
    grid = cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grid, np.float32)
