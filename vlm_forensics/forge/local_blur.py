"""Local blur: a region is softened."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.forge import local
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb, log_uniform
from vlm_forensics.taxonomy import Operation


class LocalBlur(ForgeOperation):
    """Takes the fine detail of a region away."""

    operation = Operation.LOCAL_BLUR
    makes = "blurs a region by a Gaussian, a disc, a motion or a median"
    min_change = 2.0

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of region, settings and edge."""
        return local.alter_region(photo, _soften, rng)


def _soften(piece: Rgb, rng: np.random.Generator) -> tuple[Rgb, Params]:
    method = str(rng.choice(["gaussian", "disc", "motion", "median"], p=[0.4, 0.25, 0.2, 0.15]))
    radius = log_uniform(rng, 0.8, 5)
    params: Params = {"method": method, "radius": round(radius, 2)}
    if method == "gaussian":
        return cv2.GaussianBlur(piece, (0, 0), radius), params
    if method == "median":
        return cv2.medianBlur(np.ascontiguousarray(piece), 3 if radius < 2 else 5), params
    if method == "motion":
        params["angle"] = round(angle := float(rng.uniform(0, 180)), 1)
        return cv2.filter2D(piece, -1, _streak(radius, angle)), params
    return cv2.filter2D(piece, -1, _disc(radius)), params


def _disc(radius: float) -> NDArray[np.float32]:
    """Kernel of a lens out of focus."""
    reach = int(np.ceil(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1).astype(np.float32)
    return np.asarray(kernel / kernel.sum())


def _streak(radius: float, angle: float) -> NDArray[np.float32]:
    """Kernel of a straight motion, `2 * radius` pixels long."""
    reach = int(np.ceil(radius)) + 1
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along, across = columns * c + rows * s, rows * c - columns * s
    inside = np.clip(radius + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    kernel = inside.astype(np.float32)
    return np.asarray(kernel / kernel.sum())
