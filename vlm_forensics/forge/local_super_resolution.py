"""Local super-resolution: a region is shrunk and restored by a super-resolution network."""

from __future__ import annotations

import numpy as np

from vlm_forensics.forge import resynthesis
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb
from vlm_forensics.taxonomy import Operation


class LocalSuperResolution(ForgeOperation):
    """Re-synthesises a region's fine texture."""

    operation = Operation.LOCAL_SUPER_RESOLUTION
    makes = "shrinks a region and restores its texture by a super-resolution network"
    min_change = 2.0

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
        piece, params = resynthesis.super_resolved(photo[window], rng)
        feather = float(rng.choice([0.0, 1.0, 2.0, 4.0]))
        rgb = resynthesis.paste_back(photo, piece, window, mask, feather)
        return rgb, mask, params | {"shape": kind, "feather": feather}
