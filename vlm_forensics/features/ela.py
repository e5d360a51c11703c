"""Error-level analysis: what one more JPEG save changes."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features._sampling import Sample, number
from vlm_forensics.features.base import Family, Feature, Measurement, Pixels

QUALITY = 90
_BUDGET = 2_000_000


def error_level(rgb: NDArray[np.uint8], quality: int = QUALITY) -> NDArray[np.float32]:
    """Mean absolute change over the channels after a JPEG re-save, `[H, W]`, grey levels."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    again = cv2.imdecode(data, cv2.IMREAD_COLOR)
    change = cv2.absdiff(bgr, again).astype(np.float32)
    return np.asarray(cv2.transform(change, np.full((1, 3), 1 / 3, np.float32)), np.float32)


class Ela(Feature):
    """Error level at JPEG quality 90."""

    name: ClassVar[str] = "ela"
    title: ClassVar[str] = "Error level (ELA)"
    family: ClassVar[Family] = "compression"
    detects: ClassVar[str] = (
        "Areas that change more than the rest when saved once more as JPEG of quality 90, because "
        "they went through fewer compressions (Krawetz, 2007)."
    )
    look_for: ClassVar[str] = (
        "A whole object at another level than surfaces of the same texture and brightness."
    )
    ignore: ClassVar[str] = (
        "Edges, fine texture and saturated colours always change more; that is no evidence."
    )
    caution: ClassVar[str] = (
        "Means little once the whole image was saved again, resized or stored without loss. Above "
        "2 MP it is read from native tiles spread over the image."
    )

    def measure(self, image: Pixels) -> Measurement:
        """Mean error level in grey levels, and how far its strongest cells stand out."""
        sample = Sample.of(image.rgb, _BUDGET)
        response = sample.map_of(error_level(sample.rgb))
        mean = float(response.mean())
        median, high = (float(value) for value in np.percentile(response, (50, 99)))
        caveats = () if image.quantization else (
            "not stored as JPEG: an even error level is expected and says nothing",)  # fmt: skip
        return Measurement(
            self.name,
            {"mean": mean, "p99_over_median": high / max(median, 0.05)},
            f"Saving at JPEG quality {QUALITY} changes pixels by {number(mean)} grey levels "
            "on average.",
            response,
            caveats=caveats,
        )
