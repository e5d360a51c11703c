"""Brightness, contrast and saturation at random (SAFE)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from PIL import Image, ImageEnhance
from pydantic import Field

from vlm_forensics.transforms.base import Picture, Scene, Share, Transform

_Strength = Annotated[float, Field(ge=0, le=1)]


class ColourJitter(Transform):
    """Each of the three multiplied by a factor of `1 - s` to `1 + s`, in random order.

    As in SAFE (Li et al., KDD 2025, arXiv 2408.06741), which sets all three to 0.5 so that a
    detector does not learn the colours that a generator likes.
    """

    name: ClassVar[str] = "colour_jitter"
    does: ClassVar[str] = "brightness, contrast and saturation by random factors (SAFE)"
    describable: ClassVar[bool] = True

    share: Share = 1.0
    brightness: _Strength = 0.5
    contrast: _Strength = 0.5
    saturation: _Strength = 0.5

    def __call__(self, picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:  # noqa: ARG002
        """The picture in other colours; the mask stays."""
        kinds = [(ImageEnhance.Brightness, self.brightness), (ImageEnhance.Contrast, self.contrast),
                 (ImageEnhance.Color, self.saturation)]  # fmt: skip
        image = Image.fromarray(picture.rgb)
        for n in rng.permutation(len(kinds)):
            kind, strength = kinds[n]
            image = kind(image).enhance(float(rng.uniform(1 - strength, 1 + strength)))
        return picture.with_pixels(np.asarray(image), picture.mask)
