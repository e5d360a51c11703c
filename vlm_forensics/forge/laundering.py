"""Laundering: a real photo goes through an autoencoder and looks generated, while nothing is false.

After "SD image laundering" (arXiv 2407.10736): it discredits true evidence. The label stays real;
the sample's `origin` says what happened.
"""

from __future__ import annotations

import numpy as np

from vlm_forensics.forge import resynthesis
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb
from vlm_forensics.taxonomy import Label, Operation, Origin


class Laundering(ForgeOperation):
    """Sends a real photo through a latent space and calls it what it is: real, laundered."""

    operation = Operation.LAUNDERING
    label = Label.REAL
    origin = Origin.LAUNDERED
    network = "autoencoder"
    makes = "sends a real photo through the autoencoder of an image generator; nothing is altered"
    min_change = 1.0

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of network settings; the mask is empty."""
        rgb, params = resynthesis.autoencoded(photo, rng)
        return rgb, np.zeros(photo.shape[:2], bool), params
