"""Blending: a disturbed copy of the photo is blended into itself (self-blended images).

After Shiohara and Yamasaki 2022 (CVPR, arXiv 2204.08376): the seam of a face swap, without a
generator's own traces.
"""

from __future__ import annotations

import cv2
import numpy as np

from vlm_forensics.forge import pasting, shapes
from vlm_forensics.forge.base import MIN_AREA, ForgeOperation, Mask, Params, Rgb, log_uniform
from vlm_forensics.taxonomy import Operation

_MAX_BLEND = 0.35


class Blending(ForgeOperation):
    """Blends a shifted, recoloured, softer or sharper copy of the photo into it."""

    operation = Operation.BLENDING
    makes = "blends a slightly moved and recoloured copy of the photo into a soft region"
    min_change = 6.0

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of copy, region and way of blending."""
        source, params = _disturb(photo, rng)
        region, kind = _region(photo.shape[:2], rng)
        if not region.any():
            return None
        mode = str(rng.choice(["alpha", "poisson", "poisson_mixed"], p=[0.6, 0.25, 0.15]))
        if mode == "alpha":
            rgb, mask, softness = _alpha_blend(photo, source, region, rng)
            params["softness"] = round(softness, 1)
        else:
            rgb, mask = _poisson_blend(photo, source, region, mixed=mode == "poisson_mixed")
        return rgb, mask, params | {"mode": mode, "shape": kind}


def _disturb(photo: Rgb, rng: np.random.Generator) -> tuple[Rgb, Params]:
    """The copy: a small affine move, new colours, and another sharpness."""
    height, width = photo.shape[:2]
    angle, scale = rng.normal(0, 3), 1 + rng.normal(0, 0.04)
    move = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    shift = rng.uniform(-0.04, 0.04, 2) * (width, height)
    move[:, 2] += shift
    copy = cv2.warpAffine(photo, move, (width, height), flags=cv2.INTER_CUBIC,
                          borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    gain, offset = rng.uniform(0.93, 1.07, 3) * rng.uniform(0.85, 1.18), rng.uniform(-12, 12)
    copy = np.rint(copy * gain + offset).clip(0, 255).astype(np.uint8)
    copy, texture = _retouch(copy, rng)
    return copy, {"angle": round(angle, 2), "scale": round(scale, 3), "texture": texture,
                  "shift_x": round(shift[0], 1), "shift_y": round(shift[1], 1)}  # fmt: skip


def _retouch(image: Rgb, rng: np.random.Generator) -> tuple[Rgb, str]:
    kind = str(rng.choice(["kept", "blurred", "sharpened", "resampled", "jpeg"]))
    match kind:
        case "blurred":
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 1.8))
        case "sharpened":
            soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2.0))
            amount = rng.uniform(0.5, 1.5)
            image = cv2.addWeighted(image, 1 + amount, soft, -amount, 0)
        case "resampled":
            factor, size = rng.uniform(0.4, 0.8), image.shape[1::-1]
            small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
        case "jpeg":
            image = pasting.recompress(image, int(rng.integers(40, 85)))
    return image, kind


def _region(size: tuple[int, int], rng: np.random.Generator) -> tuple[Mask, str]:
    area = log_uniform(rng, MIN_AREA * 1.5, _MAX_BLEND)
    kind = str(rng.choice(["face", "ellipse", "blob"], p=[0.4, 0.2, 0.4]))
    if kind == "face":
        return shapes.draw_face(size, area, rng), kind
    return shapes.draw_outline(kind, size, area, rng), kind


def _alpha_blend(
    photo: Rgb, source: Rgb, region: Mask, rng: np.random.Generator
) -> tuple[Rgb, Mask, float]:
    softness = rng.uniform(0.02, 0.12) * np.sqrt(region.sum())
    soft = cv2.GaussianBlur(region.astype(np.float32), (0, 0), softness)
    # A faint tail of the Gaussian would alter pixels far away by less than a grey level.
    soft = np.clip((soft - 0.02) / 0.96, 0, 1)
    rgb = pasting.composite(photo, source, soft * np.float32(rng.uniform(0.7, 1.0)))
    return rgb, soft >= 0.5, float(softness)


def _poisson_blend(photo: Rgb, source: Rgb, region: Mask, *, mixed: bool) -> tuple[Rgb, Mask]:
    """Gradient-domain blending (Pérez et al. 2003)."""
    inner = region.copy()
    # The solver needs a rim of fixed pixels on every side.
    inner[:2], inner[-2:], inner[:, :2], inner[:, -2:] = False, False, False, False
    if not inner.any():
        return photo, inner
    x0, y0, x1, y1 = pasting.bounding_box(inner)
    centre = x0 + (x1 - x0) // 2, y0 + (y1 - y0) // 2
    how = cv2.MIXED_CLONE if mixed else cv2.NORMAL_CLONE
    blended = cv2.seamlessClone(source, photo, inner.astype(np.uint8) * 255, centre, how)
    return np.where(inner[..., None], blended, photo), inner
