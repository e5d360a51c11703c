"""Local resampling: a region is interpolated onto another pixel grid."""

from __future__ import annotations

import cv2
import numpy as np

from vlm_forensics.forge import local
from vlm_forensics.forge.base import ForgeOperation, Mask, Params, Rgb
from vlm_forensics.taxonomy import Operation

_KERNELS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}


class LocalResampling(ForgeOperation):
    """Magnifies, turns, shifts or shrinks and restores a region."""

    operation = Operation.LOCAL_RESAMPLING
    makes = "magnifies a region, turns or shifts it a little, or shrinks and restores it"
    min_change = 2.0

    def attempt(
        self,
        photo: Rgb,
        donor: Rgb,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw of region, settings and edge."""
        return local.alter_region(photo, _resample, rng)


def _resample(piece: Rgb, rng: np.random.Generator) -> tuple[Rgb, Params]:
    method = str(rng.choice(["magnify", "turn", "shift", "shrink"], p=[0.4, 0.2, 0.1, 0.3]))
    kernel = str(rng.choice(list(_KERNELS)))
    params: Params = {"method": method, "kernel": kernel}
    height, width = piece.shape[:2]
    if method == "shrink":
        params["scale"] = round(scale := float(rng.uniform(0.35, 0.9)), 3)
        small = cv2.resize(piece, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=_KERNELS[kernel]), params
    angle, scale, shift = 0.0, 1.0, np.zeros(2)
    match method:
        case "magnify":
            params["scale"] = round(scale := float(rng.uniform(1.05, 1.8)), 3)
        case "turn":
            params["angle"] = round(angle := float(rng.choice([-1, 1]) * rng.uniform(1, 10)), 2)
        case "shift":
            shift = rng.uniform(0.25, 0.75, 2)
            params |= {"shift_x": round(shift[0], 2), "shift_y": round(shift[1], 2)}
    move = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    move[:, 2] += shift
    return cv2.warpAffine(piece, move, (width, height), flags=_KERNELS[kernel],
                          borderMode=cv2.BORDER_REFLECT_101), params  # fmt: skip
