"""Whole-image super-resolution: every pixel is restored from a shrunk copy by a network."""

from __future__ import annotations

import numpy as np

from vlm_forensics.forge import resynthesis
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb
from vlm_forensics.taxonomy import Label, Operation, Origin


class WholeSuperResolution(ForgeOperation):
    """Re-synthesises the fine texture of the whole photo."""

    operation = Operation.WHOLE_SUPER_RESOLUTION
    label = Label.SYNTHETIC
    origin = Origin.RESYNTHESISED
    network = "super_resolution"
    makes = "shrinks the whole photo and restores it by a super-resolution network"
    min_change = 1.0

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of network settings; the mask is all True."""
        rgb, params = resynthesis.super_resolved(photo, rng)
        return rgb, np.ones(photo.shape[:2], bool), params
