"""Copy-move: a part of the photo is laid over another part of the same photo."""

from __future__ import annotations

import numpy as np

from vlm_forensics.forge import pasting, shapes
from vlm_forensics.forge.base import MIN_AREA, ForgeOperation, Mask, Params, Rgb, log_uniform
from vlm_forensics.taxonomy import Operation

_MAX_COPY = 0.22
"""Largest share copied: source and copy must both fit in the frame."""
_PLACES = 60


class CopyMove(ForgeOperation):
    """Duplicates part of the photo; the mask covers the copy, not its source."""

    operation = Operation.COPY_MOVE
    makes = "lays a part of the photo over another place of the same photo"
    min_change = 10.0

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of source, geometry, destination and edge."""
        source, kind = _pick(photo, rng)
        if not source.any():
            return None
        plain = rng.random() < 0.5
        scale = 1.0 if plain else log_uniform(rng, 0.7, 1.4)
        angle = 0.0 if plain or rng.random() < 0.5 else rng.normal(0, 12)
        flip = bool(rng.random() < 0.2)
        original = pasting.cut(photo, source)
        patch = pasting.transform(original, scale, angle, flip)
        corner = _destination(patch.mask, source, rng)
        if corner is None:
            return None
        layer, mask = pasting.place(patch, photo, *corner)
        feather = float(rng.choice([0.0, 1.0, 2.0, 3.0]))
        rgb = pasting.composite(photo, layer, pasting.feathered(mask, feather))
        x0, y0, x1, y1 = pasting.bounding_box(source)
        u0, v0, u1, v1 = pasting.bounding_box(mask)
        return rgb, mask, {
            "shape": kind, "scale": round(scale, 3), "angle": round(angle, 1), "flip": int(flip),
            "feather": feather, "shift_x": (u0 + u1 - x0 - x1) // 2,
            "shift_y": (v0 + v1 - y0 - y1) // 2,
            "source_x0": x0, "source_y0": y0, "source_x1": x1, "source_y1": y1,
        }  # fmt: skip


def _pick(photo: Rgb, rng: np.random.Generator) -> tuple[Mask, str]:
    if rng.random() < 0.5:
        region = shapes.find_object(photo, rng)
        if region is not None and MIN_AREA <= region.mean() <= _MAX_COPY:
            return region, "object"
    return shapes.draw_region(photo, log_uniform(rng, MIN_AREA, _MAX_COPY), rng)


def _destination(mask: Mask, source: Mask, rng: np.random.Generator) -> tuple[int, int] | None:
    """Top left corner where the copy lies in the frame and its box clear of the source's box."""
    height, width = source.shape
    x0, y0, x1, y1 = pasting.bounding_box(mask)
    w, h = x1 - x0, y1 - y0
    if w >= width or h >= height:
        return None
    a0, b0, a1, b1 = pasting.bounding_box(source)
    for _ in range(_PLACES):
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        if x >= a1 or x + w <= a0 or y >= b1 or y + h <= b0:
            return x - x0, y - y0
    return None
