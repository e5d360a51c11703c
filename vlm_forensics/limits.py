"""What weakens a verdict on this image; printed with every report."""

from __future__ import annotations

from collections.abc import Mapping

from vlm_forensics.features.base import Measurement
from vlm_forensics.image import EvidenceImage
from vlm_forensics.report import Notice

_SMALL = 256
_REDUCED = 4
_LOW_QUALITY = 60
_LONG = 2.0


def limits(image: EvidenceImage, measurements: Mapping[str, Measurement]) -> tuple[Notice, ...]:
    """The limits that apply, by what was measured on the file."""
    short, long = sorted((image.width, image.height))
    quality = measurements["jpeg_quantisation"].values.get("quality", 100.0)
    rules = (
        ("tiny", short < _SMALL,
         f"The short side has {short} pixels; traces are weak below {_SMALL}."),
        ("reduced", short > _REDUCED * _SMALL,
         f"The mask is drawn on a view reduced {short / _SMALL:.0f} times; "
         "small edits may be missed."),
        ("heavy_compression", quality < _LOW_QUALITY,
         f"Strong JPEG compression (estimated quality {quality:.0f}) erases fine traces."),
        ("elongated", long > _LONG * short,
         "The picture is longer than 2:1 and was squeezed for the model."),
        ("grayscale", any(n.code == "grayscale" for n in image.notices),
         "A grey picture carries no colour traces."),
    )  # fmt: skip
    return tuple(Notice(code=code, message=message) for code, applies, message in rules if applies)
