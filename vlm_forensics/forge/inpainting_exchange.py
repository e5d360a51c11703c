"""Inpainting exchange: a hole filled through an autoencoder, original pixels put back around it.

After "inpainting exchange" (INP-X, arXiv 2602.00192): generators' inpainting sends the whole
picture through their autoencoder, and detectors learn that global trace instead of the edit. With
the original pixels exchanged back outside the hole, only the edit is left.
"""

from __future__ import annotations

import numpy as np

from vlm_forensics.forge import inpainting, local, resynthesis
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb
from vlm_forensics.taxonomy import Operation


class InpaintingExchange(ForgeOperation):
    """Fills a hole, re-synthesises the whole photo and keeps of it only the hole."""

    operation = Operation.INPAINTING_EXCHANGE
    network = "autoencoder"
    makes = "fills a region, sends the whole photo through an autoencoder, puts originals back"
    min_change = 4.0

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of hole, fill, network settings and edge."""
        drawn = inpainting.fill_hole(photo, rng)
        if drawn is None:
            return None
        filled, hole, params = drawn
        made, settings = resynthesis.autoencoded(filled, rng)
        feather = float(rng.choice([0.0, 0.0, 1.0, 2.0]))
        everything = (slice(None), slice(None))
        rgb = local.lay_back(photo, made, everything, hole, feather)
        return rgb, hole, params | settings | {"feather": feather}
