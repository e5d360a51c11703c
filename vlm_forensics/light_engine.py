"""Detection by OpenCV, for a run that asks for no rationale: no torch is imported."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.model import graph
from vlm_forensics.model.inputs import channels_first, prepare, vision_array
from vlm_forensics.model.vocabulary import OPERATIONS
from vlm_forensics.seeing import Seen, on_grid


class LightEngine:
    """The part of `Engine` that a model without language has.

    Args:
        net: from `graph.load`.
    """

    device = "cpu"
    dtype = "float32"

    def __init__(self, net: Any) -> None:
        self.net = net
        self._lock = Lock()  # a network holds its inputs between two calls

    @classmethod
    def load(cls, path: Path) -> LightEngine:
        """The graph in this file.

        Raises:
            cv2.error: OpenCV cannot read it.
        """
        return cls(graph.load(path))

    def see(self, rgb: NDArray[np.uint8]) -> Seen:
        """Runs vision tower, adapter and mask decoder on `[H, W, 3]` pixels."""
        inputs = prepare(rgb)
        overview = channels_first(inputs.overview)[None]
        # Without tiles the overview stands for the only one: logits are averaged over both.
        tiles = channels_first(inputs.tiles)[None] if len(inputs.tiles) else overview[None]
        given = vision_array(inputs.overview, graph.SIDE), overview, tiles
        with self._lock:
            classes, operations, mask = graph.run(self.net, given)
        logits = classes[0].astype(np.float64)
        if not np.isfinite(logits).all():
            raise ArithmeticError("the class logits are not finite")
        shares = _softmax(operations[0]).tolist()
        heat = np.exp(-np.logaddexp(0, -mask[0]))  # the logistic function, without overflow
        return Seen(logits, dict(zip(OPERATIONS, shares, strict=True)),
                    on_grid(heat, rgb.shape[:2]), float(1 - _softmax(logits)[0]), None)  # fmt: skip

    def versions(self) -> dict[str, str]:
        """Of what computed."""
        return {"opencv": cv2.__version__}


def preferred() -> bool:
    """Whether torch would run on this machine's processor too; looked up without importing it."""
    return shutil.which("nvidia-smi") is None


def _softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.exp(logits - np.logaddexp.reduce(logits)))
