"""What a low-level forensic feature is: one file each, found by folder scan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Family = Literal["compression", "noise", "resampling", "cloning", "texture", "generation"]
FloatMap = NDArray[np.float32]


class Pixels(Protocol):
    """What a feature sees: an `EvidenceImage`, or a sample made in memory."""

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """`[H, W, 3]` 8-bit sRGB, stored grid."""

    @property
    def quantization(self) -> dict[int, tuple[int, ...]] | None:
        """JPEG quantisation tables (id → 64 values, zigzag undone), or None for other formats."""


@dataclass(frozen=True, slots=True)
class PixelArray:
    """Pixels held in memory, for samples without a file."""

    rgb: NDArray[np.uint8]
    quantization: dict[int, tuple[int, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one feature found on one image."""

    feature: str
    values: dict[str, float]
    """Named numbers, finite. The first is the headline."""
    text: str
    """One sentence that holds the headline number."""
    map: FloatMap | None = None
    """`[h, w]` ≥ 0, any resolution, covering the whole image; higher = stronger response."""
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    """Places found, half-open `[x0, y0, x1, y1]` in the stored grid (e.g. matched areas)."""
    caveats: tuple[str, ...] = field(default=())
    """Why this measurement may not mean anything here (flat image, not a JPEG …)."""


class Feature(ABC):
    """A low-level forensic map or number computed from pixels."""

    name: ClassVar[str]
    """snake_case, equals the module's name."""
    title: ClassVar[str]
    family: ClassVar[Family]
    detects: ClassVar[str]
    """What kind of trace it responds to, one sentence with the paper or formula."""
    look_for: ClassVar[str]
    ignore: ClassVar[str]
    """What also lights up and means nothing."""
    caution: ClassVar[str]
    """When not to trust it."""

    @abstractmethod
    def measure(self, image: Pixels) -> Measurement:
        """The measurement on this image; deterministic, no side effects."""
