"""Local super-resolution: a region is shrunk and restored by a super-resolution network."""

from __future__ import annotations

import numpy as np

from vlm_forensics.forge import local, resynthesis
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb
from vlm_forensics.taxonomy import Operation


class LocalSuperResolution(ForgeOperation):
    """Re-synthesises a region's fine texture."""

    operation = Operation.LOCAL_SUPER_RESOLUTION
    network = "super_resolution"
    makes = "shrinks a region and restores its texture by a super-resolution network"
    min_change = 2.0

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of region, settings and edge."""
        return local.alter_region(photo, resynthesis.super_resolved, rng)
