"""What operations on one region share: finding it, re-making it, laying it back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlm_forensics.forge import pasting, shapes
from vlm_forensics.forge.base import MAX_AREA, MIN_AREA, Mask, Params, Rgb, log_uniform

Remake = Callable[[Rgb, np.random.Generator], tuple[Rgb, Params]]
"""New pixels of a piece of the photo, same shape, and what was drawn for them."""
_CONTEXT = 16
"""Pixels around a region that are re-made with it, so that border effects stay outside."""


def alter_region(
    photo: Rgb, remake: Remake, rng: np.random.Generator
) -> tuple[Rgb, Mask, Params] | None:
    """One draw of region, its new pixels and its edge; None where no region was found."""
    mask, kind = draw_target(photo, rng)
    if not mask.any():
        return None
    window = crop_around(mask)
    piece, params = remake(photo[window], rng)
    feather = float(rng.choice([0.0, 1.0, 2.0, 4.0]))
    rgb = lay_back(photo, piece, window, mask, feather)
    return rgb, mask, params | {"shape": kind, "feather": feather}


def draw_target(photo: Rgb, rng: np.random.Generator) -> tuple[Mask, str]:
    """The region to alter: an object where one is found, an outline otherwise."""
    if rng.random() < 0.35:
        region = shapes.find_object(photo, rng)
        if region is not None and MIN_AREA <= region.mean() <= MAX_AREA:
            return region, "object"
    return shapes.draw_region(photo, log_uniform(rng, MIN_AREA, MAX_AREA), rng)


def crop_around(mask: Mask) -> tuple[slice, slice]:
    """The mask's box with context on every side, cut at the frame."""
    return pasting.around_box(mask, _CONTEXT)


def lay_back(photo: Rgb, piece: Rgb, window: tuple[slice, slice], mask: Mask,
             feather: float) -> Rgb:  # fmt: skip
    """The photo with the re-made window showing through the mask; exact elsewhere."""
    layer = photo.copy()
    layer[window] = piece
    return pasting.composite(photo, layer, pasting.feathered(mask, feather))
