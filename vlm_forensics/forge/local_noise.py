"""Local noise: the grain of a region is raised or taken away."""

from __future__ import annotations

import cv2
import numpy as np

from vlm_forensics.forge import local, pasting
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb, log_uniform
from vlm_forensics.taxonomy import Operation


class LocalNoise(ForgeOperation):
    """Gives a region a noise level of its own."""

    operation = Operation.LOCAL_NOISE
    makes = "adds noise to a region or smooths its grain away"
    min_change = 1.5

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of region, settings and edge."""
        return local.alter_region(photo, _regrain, rng)


def _regrain(piece: Rgb, rng: np.random.Generator) -> tuple[Rgb, Params]:
    match method := str(rng.choice(["gaussian", "shot", "bilateral"], p=[0.4, 0.3, 0.3])):
        case "gaussian":
            sigma = log_uniform(rng, 3, 12)
            return pasting.add_noise(piece, sigma, rng), {
                "method": method,
                "sigma": round(sigma, 2),
            }
        case "shot":
            # Photons: the variance grows with brightness, as on a sensor at high gain.
            gain = log_uniform(rng, 0.15, 1.5)
            noisy = rng.poisson(piece / gain) * gain
            return np.rint(noisy).clip(0, 255).astype(np.uint8), {
                "method": method, "gain": round(gain, 3),
            }  # fmt: skip
    reach, strength = float(rng.uniform(2, 5)), float(rng.uniform(20, 60))
    smooth: Rgb = cv2.bilateralFilter(np.ascontiguousarray(piece), -1, strength, reach)
    return smooth, {"method": method, "reach": round(reach, 2), "strength": round(strength, 1)}
