"""Saved once more as JPEG or WebP, drawn the same for all classes."""

from __future__ import annotations

import io
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from vlm_forensics.datasets.equalise import recompress
from vlm_forensics.transforms.base import Picture, Scene, Share, Transform

_Quality = Annotated[int, Field(ge=1, le=100)]


class Recompress(Transform):
    """One more save before the last one that every training picture gets.

    Format and quality are drawn without looking at the label: a compression that only one class
    went through is the shortcut that `equalise` is there against.
    """

    name: ClassVar[str] = "recompress"
    does: ClassVar[str] = "saved once more as JPEG (4:2:0) or WebP of a random quality"
    describable: ClassVar[bool] = True

    share: Share = 0.5
    lowest: _Quality = 60
    """Lowest quality."""
    highest: _Quality = 95
    webp: Share = 0.25
    """How often WebP is taken and not JPEG."""

    @model_validator(mode="after")
    def _ordered(self) -> Recompress:
        if self.lowest > self.highest:
            raise ValueError(f"lowest {self.lowest} is above highest {self.highest}")
        return self

    def __call__(self, picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:  # noqa: ARG002
        """The picture as it is read again; the mask stays."""
        save = _webp if rng.random() < self.webp else _jpeg
        quality = int(rng.integers(self.lowest, self.highest + 1))
        return picture.with_pixels(save(picture.rgb, quality), picture.mask)


def _jpeg(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    return recompress(rgb, quality).rgb


def _webp(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "WEBP", quality=quality)
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"))
