"""Local autoencoder: a region goes through the autoencoder of an image generator."""

from __future__ import annotations

import numpy as np

from vlm_forensics.forge import local, resynthesis
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb
from vlm_forensics.taxonomy import Operation


class LocalAutoencoder(ForgeOperation):
    """Launders a region through a latent space."""

    operation = Operation.LOCAL_AUTOENCODER
    network = "autoencoder"
    makes = "sends a region through the autoencoder of an image generator"
    min_change = 1.5

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of region, settings and edge."""
        return local.alter_region(photo, resynthesis.autoencoded, rng)
