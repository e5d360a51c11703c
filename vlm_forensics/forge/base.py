"""What a forge operation is: one file each, found by folder scan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.taxonomy import Label, Operation, Origin

Rgb = NDArray[np.uint8]
"""`[H, W, 3]` 8-bit sRGB."""
Mask = NDArray[np.bool_]
"""`[H, W]`, True where pixels were altered."""
Params = dict[str, float | int | str]

Network = Literal["super_resolution", "autoencoder"]
"""What the pretrained networks do."""

MIN_AREA, MAX_AREA = 0.02, 0.45
"""Share of the photo a local operation alters."""
MIN_SIDE = 32
"""Smallest side of a photo or donor, pixels: the smallest image the detector takes."""
ATTEMPTS = 24
"""How often an operation draws anew before it gives up on a photo."""


class NothingAlteredError(ValueError):
    """The operation cannot leave a visible trace on this photo (flat or tiny): skip it."""


@dataclass(frozen=True, slots=True)
class ForgedSample:
    """A photo after one operation, with the ground truth that holds by construction."""

    rgb: Rgb
    """`[H, W, 3]`, same size as the photo."""
    mask: Mask
    """`[H, W]`; all True when the whole image was synthesised, empty when it stays real."""
    label: Label
    origin: Origin
    operation: Operation
    params: Params
    """What was drawn: scales, angles, methods, `area` of the mask, `change` inside it."""


class ForgeOperation(ABC):
    """A way to tamper with or re-synthesise a photo."""

    operation: ClassVar[Operation]
    """Its name in the taxonomy, equals the module's name."""
    label: ClassVar[Label] = Label.TAMPERED
    origin: ClassVar[Origin] = Origin.CAMERA
    network: ClassVar[Network | None] = None
    """The kind of pretrained network it needs."""
    uses_donor: ClassVar[bool] = False
    """It takes pixels from the donor; others never look at it."""
    makes: ClassVar[str]
    """What it does to the pixels, one sentence."""
    min_change: ClassVar[float] = 6.0
    """Mean absolute difference inside the mask (of the whole photo where all of it is made anew),
    grey levels, below which the result is dropped."""

    @abstractmethod
    def attempt(
        self, photo: Rgb, donor: Rgb, rng: np.random.Generator
    ) -> tuple[Rgb, Mask, Params] | None:
        """One draw: altered pixels, mask and parameters; None if the draw does not fit."""

    def apply(self, photo: Rgb, donor: Rgb, rng: np.random.Generator) -> ForgedSample:
        """The photo after this operation; draws again while the alteration is negligible.

        Args:
            photo: `[H, W, 3]` uint8, never written to.
            donor: another photo of any size, for operations that need foreign pixels.
            rng: the only source of randomness.

        Raises:
            ValueError: photo or donor is not uint8 RGB of at least 32 px a side.
            NothingAlteredError: no draw altered the photo visibly.
        """
        _check(photo)
        _check(donor)
        for _ in range(ATTEMPTS):
            draw = self.attempt(photo, donor, rng)
            if draw is not None:
                rgb, mask, params = draw
                change = mean_change(photo, rgb, mask if self._is_local else np.ones_like(mask))
                if self._accepts(mask, change):
                    params |= {"area": round(float(mask.mean()), 4), "change": round(change, 2)}
                    return ForgedSample(rgb, mask, self.label, self.origin, self.operation,
                                        _plain(params))  # fmt: skip
        raise NothingAlteredError(f"{self.operation} leaves no visible trace on this photo")

    @property
    def _is_local(self) -> bool:
        return self.label is Label.TAMPERED

    def _accepts(self, mask: Mask, change: float) -> bool:
        fits = not self._is_local or MIN_AREA <= mask.mean() <= MAX_AREA
        return change >= self.min_change and fits


def mean_change(before: Rgb, after: Rgb, mask: Mask) -> float:
    """Mean absolute difference inside the mask, grey levels in [0, 255]; 0 for an empty mask."""
    count = np.count_nonzero(mask)
    if not count:
        return 0.0
    change = cv2.absdiff(before, after)
    inside = cv2.bitwise_and(change, change, mask=mask.astype(np.uint8))
    return float(sum(cv2.sumElems(inside))) / (3 * count)  # of integers, so without rounding


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A draw whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _plain(params: Params) -> Params:
    """Python scalars only, so that parameters go into JSON."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in params.items()}


def _check(image: Rgb) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    if min(image.shape[:2]) < MIN_SIDE:
        raise ValueError(f"a side is below {MIN_SIDE} px: {list(image.shape)}")
