"""Neighbouring pixel relationships: what nearest-neighbour upsampling leaves between pixels."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features._sampling import area_map, number
from vlm_forensics.features.base import Family, Feature, Measurement, Pixels


def residual(pixels: NDArray[Any]) -> NDArray[Any]:
    """NPR: `x - up_nearest(down_nearest(x, 1/2))` of the even crop.

    Args:
        pixels: `[H, W]` or `[H, W, C]`, signed or floating (unsigned would wrap around).

    Returns:
        Same type, `[H - H % 2, W - W % 2(, C)]`; zero at every even row and column.
    """
    even = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
    return np.asarray(even - even[::2, ::2].repeat(2, axis=0).repeat(2, axis=1))


class Npr(Feature):
    """Mean magnitude of the NPR residual."""

    name: ClassVar[str] = "npr"
    title: ClassVar[str] = "Neighbouring pixel relationships (NPR)"
    family: ClassVar[Family] = "generation"
    detects: ClassVar[str] = (
        "How far each pixel differs from its 2x2 neighbour, |x - up(down(x, ½))| with nearest "
        "neighbour, which the upsampling layers of generators change (Tan et al., CVPR 2024)."
    )
    look_for: ClassVar[str] = (
        "An area with a much lower or higher level than comparable texture elsewhere."
    )
    ignore: ClassVar[str] = "Edges and fine texture are always bright, sky and blur always dark."
    caution: ClassVar[str] = (
        "JPEG compression, sharpening and resizing change it more than a generator does; compare "
        "only inside one image or between images of like history."
    )

    def measure(self, image: Pixels) -> Measurement:
        """Mean |NPR| in grey levels, over the three channels."""
        height, width = (side // 2 * 2 for side in image.rgb.shape[:2])
        even = image.rgb[:height, :width]
        # Halved, nearest neighbour is every second pixel; OpenCV takes them faster than a copy.
        half = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_NEAREST)
        coarse = cv2.resize(half, (width, height), interpolation=cv2.INTER_NEAREST)
        magnitude = cv2.absdiff(even, coarse)  # uint8: 12 MP in a few milliseconds
        mean = float(np.mean(cv2.mean(magnitude)[:3]))
        response = cv2.transform(magnitude, np.full((1, 3), 1 / 3, np.float32))
        equal = (response.size - cv2.countNonZero(response)) / response.size
        return Measurement(
            self.name,
            {"mean": mean, "equal_share": equal},
            f"Neighbouring pixels differ by {number(mean)} grey levels on average (NPR).",
            area_map(response),
        )
