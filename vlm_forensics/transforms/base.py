"""What a transform is: a training picture in, a changed one with mask and label out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vlm_forensics.datasets.equalise import Square, take
from vlm_forensics.taxonomy import Label

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels with everything that is known of them."""

    rgb: NDArray[np.uint8]
    """`[H, W, 3]` 8-bit sRGB."""
    mask: NDArray[np.bool_]
    """`[H, W]` the altered area; empty where there is none or where it is not known."""
    label: Label
    source: str
    mask_known: bool
    operation: str = ""
    """What was done, in our words; empty where that is not known."""

    def with_pixels(self, rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Picture:
        """The same picture with other pixels."""
        return replace(self, rgb=np.ascontiguousarray(rgb), mask=np.ascontiguousarray(mask))

    def cut(self, square: Square) -> Picture:
        """The square of it at the working size; a square of that size is not resampled."""
        mask = np.repeat(self.mask[..., None], 3, 2).astype(np.uint8) * 255
        return self.with_pixels(take(self.rgb, square), take(mask, square)[..., 0] > 127)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a transform may look at beside the picture it changes."""

    stored: Picture
    """The picture as it is stored, before it was cut to the working size."""
    others: Sequence[Picture]
    """Cut pictures of the same label, possibly none."""


class Transform(BaseModel, ABC):
    """A change of training pictures, in the module of its name; its fields are its settings.

    Nothing in it may depend on the label: what happens to one class alone would tell the class.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    """Equals the module's name."""
    does: ClassVar[str]
    """What it does to the pixels, one sentence, and whose it is."""
    describable: ClassVar[bool]
    """What is measured on the changed picture is still the picture's own, so that a language model
    may learn to speak of it; False where blank or foreign pixels would be measured."""

    share: Share
    """How often it is applied to a copy; every subclass has its own default."""

    def check(self, sources: Collection[str]) -> None:
        """Refuses data that the settings do not fit; most fit all.

        Args:
            sources: names of the data's sources.

        Raises:
            InputError: bad_config.
        """

    @abstractmethod
    def __call__(self, picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:
        """The changed picture; pixels that show the altered area no more leave the mask.

        Args:
            picture: square, of the working size; never written to.
            scene: what else may be looked at.
            rng: the only source of randomness.
        """
