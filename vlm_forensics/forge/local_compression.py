"""Local compression: a region was compressed apart from the rest."""

from __future__ import annotations

import cv2
import numpy as np

from vlm_forensics.forge import local, pasting
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb
from vlm_forensics.taxonomy import Operation

_GRID = 8
"""Pixels a side of a JPEG block."""


class LocalCompression(ForgeOperation):
    """Sends a region through JPEG or WebP with a grid of its own."""

    operation = Operation.LOCAL_COMPRESSION
    makes = "compresses a region once or twice more, on a grid of its own"
    min_change = 1.5

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of region, settings and edge."""
        return local.alter_region(photo, _compress, rng)


def _compress(piece: Rgb, rng: np.random.Generator) -> tuple[Rgb, Params]:
    trips = 1 if rng.random() < 0.7 else 2
    codec = str(rng.choice(["jpeg", "webp"], p=[0.75, 0.25]))
    quality = int(rng.integers(15, 70))
    x, y = (int(offset) for offset in rng.integers(0, _GRID, 2))
    made = cv2.copyMakeBorder(piece, y, 0, x, 0, cv2.BORDER_REFLECT_101)
    for _ in range(trips):
        made = pasting.recompress(made, quality, codec)
    return made[y:, x:], {"codec": codec, "quality": quality, "trips": trips,
                          "offset_x": x, "offset_y": y}  # fmt: skip
