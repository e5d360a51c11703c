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


def limits(
    image: EvidenceImage, measurements: Mapping[str, Measurement], *, probe: bool = False
) -> tuple[Notice, ...]:
    """The limits that apply, by what was measured on the file.

    Args:
        image: the file.
        measurements: of it.
        probe: the model is a linear probe.
    """
    short, long = sorted((image.width, image.height))
    quality = measurements["jpeg_quantisation"].values.get("quality", 100.0)
    rules = (
        ("linear_probe", probe,
         "The model is a linear probe: it gives a verdict and a probability only. "
         "It marks no place, writes no rationale and does not judge tampering."),
        ("cropped", probe and short < long,
         "The probe sees only the centre square of the picture."),
        ("tiny", short < _SMALL,
         f"The short side has {short} pixels; traces are weak below {_SMALL}."),
        ("reduced", short > _REDUCED * _SMALL,
         f"The {'picture is judged' if probe else 'mask is drawn'} on a view reduced "
         f"{short / _SMALL:.0f} times; {'fine traces' if probe else 'small edits'} "
         "may be missed."),
        ("heavy_compression", quality < _LOW_QUALITY,
         f"Strong JPEG compression (estimated quality {quality:.0f}) erases fine traces."),
        ("elongated", long > _LONG * short and not probe,
         "The picture is longer than 2:1 and was squeezed for the model."),
        ("grayscale", any(n.code == "grayscale" for n in image.notices),
         "A grey picture carries no colour traces."),
    )  # fmt: skip
    return tuple(Notice(code=code, message=message) for code, applies, message in rules if applies)
