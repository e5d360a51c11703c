"""Whole-image autoencoder: the photo goes through the autoencoder of an image generator."""

from __future__ import annotations

import numpy as np

from vlm_forensics.forge import resynthesis
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb
from vlm_forensics.taxonomy import Label, Operation, Origin


class WholeAutoencoder(ForgeOperation):
    """Launders the whole photo through a latent space."""

    operation = Operation.WHOLE_AUTOENCODER
    label = Label.SYNTHETIC
    origin = Origin.RESYNTHESISED
    network = "autoencoder"
    makes = "sends the whole photo through the autoencoder of an image generator"
    min_change = 1.0

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of network settings; the mask is all True."""
        rgb, params = resynthesis.autoencoded(photo, rng)
        return rgb, np.ones(photo.shape[:2], bool), params
