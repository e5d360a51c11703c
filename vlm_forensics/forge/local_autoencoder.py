"""Local autoencoder: a region goes through the autoencoder of an image generator."""

from __future__ import annotations

import numpy as np

from vlm_forensics.forge import resynthesis
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb
from vlm_forensics.taxonomy import Operation


class LocalAutoencoder(ForgeOperation):
    """Launders a region through a latent space."""

    operation = Operation.LOCAL_AUTOENCODER
    makes = "sends a region through the tiny autoencoder of an image generator"
    min_change = 1.5

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of region, network settings and edge."""
        mask, kind = resynthesis.draw_target(photo, rng)
        if not mask.any():
            return None
        window = resynthesis.crop_around(mask)
        piece, params = resynthesis.autoencoded(photo[window], rng)
        feather = float(rng.choice([0.0, 1.0, 2.0, 4.0]))
        rgb = resynthesis.paste_back(photo, piece, window, mask, feather)
        return rgb, mask, params | {"shape": kind, "feather": feather}
