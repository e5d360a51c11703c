"""Mixtures of aligned faces by the hand of a clock (ED4)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from vlm_forensics.errors import InputError
from vlm_forensics.registry import suggestion
from vlm_forensics.transforms.base import Picture, Scene, Share, Transform

_Part = Annotated[float, Field(gt=0, lt=1)]


class ClockMix(Transform):
    """A sector about the centre, from twelve o'clock on, taken from another picture.

    After ED4 (Cheng et al., arXiv 2408.06779; read were its abstract and an implementation, not
    the paper's text). Aligned faces keep the structure of a face when they are joined along rays
    from the centre, while identity, background and the way of forging are mixed, so that none of
    these can be learned in the place of the forgery. Of the paper: the sector, its size of 15 to
    85 percent, real mixed with real and forged with forged.

    For our labels it means: the partner has the same label, so the class stays true; the mask is
    mixed like the pixels; the operation is known only where both pictures agree. Two photographs
    joined are a splice in our words, and here stay real: the same seam is in every class, so it
    tells none, as in the paper. Hence only for `sources` of aligned faces, never where splices
    are to be found. A seam of foreign pixels would be measured, hence not for the language stage.

    Not of the paper: its mixtures of a real and a forged face have a label between the two, which
    three classes with masks do not know, and are left out; AdvSCM, its second part, a loss on
    shuffled patches, is not here; it mixes several times, this once.
    """

    name: ClassVar[str] = "clockmix"
    does: ClassVar[str] = "a sector of another aligned face of the same class (ED4)"
    describable: ClassVar[bool] = False

    share: Share = 0.5
    least: _Part = 0.15
    """Smallest sector, as a share of the circle."""
    most: _Part = 0.85
    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    """Sources of aligned faces, as `vlmf data info` names them; mixed among each other."""

    @model_validator(mode="after")
    def _usable(self) -> ClockMix:
        if self.least > self.most:
            raise ValueError(f"least {self.least} is above most {self.most}")
        return self

    def check(self, sources: Collection[str]) -> None:
        """Refuses a source that the data do not have."""
        for name in self.sources:
            if name not in sources:
                raise InputError("bad_config", f"clockmix: the data have no source {name!r}",
                                 hint=suggestion(name, sorted(sources)))  # fmt: skip

    def __call__(self, picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:
        """The mixture; the picture as it is if it is no face, or no partner was seen yet."""
        partners = [other for other in scene.others if other.source in self.sources]
        if picture.source not in self.sources or not partners:
            return picture
        other = partners[int(rng.integers(len(partners)))]
        taken = sector(len(picture.mask), float(rng.uniform(self.least, self.most)))
        mixed = picture.with_pixels(np.where(taken[..., None], other.rgb, picture.rgb),
                                    np.where(taken, other.mask, picture.mask))  # fmt: skip
        agreed = picture.operation if picture.operation == other.operation else ""
        return replace(mixed, mask_known=picture.mask_known and other.mask_known, operation=agreed)


def sector(side: int, part: float) -> NDArray[np.bool_]:
    """`[side, side]` True where a clock's hand has passed after this part of its round."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.asarray(np.arctan2(x, -y) % (2 * np.pi) < part * 2 * np.pi)
