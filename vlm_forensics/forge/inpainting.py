"""Inpainting: a region is removed and filled from its surroundings."""

from __future__ import annotations

import cv2
import numpy as np

from vlm_forensics.forge import exemplar, pasting, shapes
from vlm_forensics.forge.base import MIN_AREA, ForgeOperation, Mask, Params, Rgb, log_uniform
from vlm_forensics.taxonomy import Operation

_MAX_SMEAR, _MAX_EXEMPLAR = 0.12, 0.25
"""Largest share removed: diffusion turns larger holes into fog."""


class Inpainting(ForgeOperation):
    """Removes a region and fills it."""

    operation = Operation.INPAINTING
    makes = "removes a region and fills it by diffusion or from patches around it"
    min_change = 5.0

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of hole, method and grain."""
        drawn = fill_hole(photo, rng)
        if drawn is None:
            return None
        filled, hole, params = drawn
        grain = pasting.noise_level(photo) * rng.uniform(0.7, 1.3) if rng.random() < 0.4 else 0.0
        if grain:
            filled = pasting.add_noise(filled, grain, rng)
        rgb = pasting.composite(photo, filled, hole.astype(np.float32))
        return rgb, hole, params | {"grain": round(grain, 2)}


def fill_hole(photo: Rgb, rng: np.random.Generator) -> tuple[Rgb, Mask, Params] | None:
    """One draw of hole and method: the photo filled there, and the hole; None if nothing fills it.

    Outside the hole the pixels may differ by the rounding of the method.
    """
    method = str(rng.choice(["telea", "navier_stokes", "exemplar"], p=[0.25, 0.25, 0.5]))
    hole, kind = _hole(photo, _MAX_EXEMPLAR if method == "exemplar" else _MAX_SMEAR, rng)
    filled = _fill(photo, hole, method, rng)
    return None if filled is None else (filled, hole, {"method": method, "shape": kind})


def _hole(photo: Rgb, largest: float, rng: np.random.Generator) -> tuple[Mask, str]:
    area, size = log_uniform(rng, MIN_AREA, largest), photo.shape[:2]
    match rng.choice(["object", "strokes", "outline"], p=[0.35, 0.2, 0.45]):
        case "object":
            region = shapes.find_object(photo, rng)
            if region is not None and region.mean() <= largest:
                # A little more goes than the object, as its rim would give it away.
                return cv2.dilate(region.astype(np.uint8), np.ones((5, 5))).astype(bool), "object"
        case "strokes":
            return shapes.draw_strokes(size, min(area, 0.08), rng), "strokes"
    return shapes.draw_region(photo, area, rng)


def _fill(photo: Rgb, hole: Mask, method: str, rng: np.random.Generator) -> Rgb | None:
    if method == "exemplar":
        return exemplar.fill(photo, hole, rng)
    flag = cv2.INPAINT_TELEA if method == "telea" else cv2.INPAINT_NS
    filled: Rgb = cv2.inpaint(photo, hole.astype(np.uint8), float(rng.integers(3, 8)), flag)
    return filled
