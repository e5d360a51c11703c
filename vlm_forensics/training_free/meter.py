"""What measures the scores on this machine: features always, networks where they are at hand."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from vlm_forensics import assembly, weights
from vlm_forensics.datasets.equalise import QUALITY, SIDE, equalise
from vlm_forensics.errors import ModelError, WeightsError
from vlm_forensics.training_free.disturbance import moved_in
from vlm_forensics.training_free.scores import DISTURBED, Material, measured

if TYPE_CHECKING:
    from vlm_forensics.engine import Engine

log = logging.getLogger(__name__)


class Meter:
    """Measures every score that can be had here.

    Args:
        engine: its vision tower is the encoder of RIGID; None leaves these scores out.
        encoder: names the encoder and its weights.
    """

    def __init__(self, engine: Engine | None, encoder: str = "") -> None:
        self._engine, self._encoder = engine, encoder

    @classmethod
    def load(cls, *, offline: bool = False) -> Self:
        """With the encoder of the built-in model, or without any where it cannot be had.

        Raises:
            WeightsError: its weights are damaged.
        """
        try:
            folder = assembly.model_folder(assembly.MINI, offline=offline)
        except (WeightsError, ModelError) as error:
            if error.code not in {"weights_missing", "weights_unreachable", "model_not_found"}:
                raise
            log.warning("no encoder, so no RIGID: %s", error.message)
            return cls(None)
        from vlm_forensics.engine import Engine

        digest = weights.digests(folder)["model.safetensors"]
        return cls(Engine.load(folder, language=False), f"{assembly.MINI} {digest[:16]}")

    def settings(self) -> dict[str, str]:
        """What numbers of two runs must share to be comparable; "" for what is not at hand."""
        return {
            "picture": f"centre square, {SIDE} px, JPEG {QUALITY}",
            "encoder": self._encoder,
            "disturbance": DISTURBED if self._encoder else "",
            "autoencoder": autoencoder(),
        }

    def measure(self, rgb: NDArray[np.uint8]) -> dict[str, float]:
        """Scores by name, of a whole picture `[H, W, 3]` in its stored grid."""
        pixels = equalise(rgb)
        moved = None if self._engine is None else moved_in(self._engine, pixels.rgb)
        return measured(Material(pixels, moved))


def autoencoder() -> str:
    """The autoencoder whose reconstruction is measured; "" where there is none."""
    from vlm_forensics.forge import networks

    try:
        networks.check("autoencoder")
    except WeightsError as error:
        if error.code != "weights_missing":
            raise
        return ""
    return networks.autoencoder_name()
