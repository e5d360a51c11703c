"""Measurements turned into clues: short phrases for the prompt, numbers for the evidence.

A clue compares a feature inside and outside the marked area, or states a count over the whole
picture. `Reference` says whether its value is outside the range seen on real photographs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.features.base import Measurement
from vlm_forensics.features.contrast import contrast
from vlm_forensics.features.reference import Reference
from vlm_forensics.taxonomy import Artifact

CONTRASTS: dict[str, tuple[str, Artifact]] = {
    "noise_level": ("noise", Artifact.NOISE_MISMATCH),
    "dwt_hh": ("fine detail", Artifact.SHARPNESS_MISMATCH),
    "srm": ("residual", Artifact.SHARPNESS_MISMATCH),
    "ela": ("re-save error", Artifact.COMPRESSION_MISMATCH),
    "jpeg_ghost": ("earlier compression trace", Artifact.COMPRESSION_MISMATCH),
    "resampling": ("resampling trace", Artifact.RESAMPLING_TRACE),
}
"""Features compared inside and outside: the word in phrases, the artifact they speak for."""

SUPPORT: dict[Artifact, tuple[str, ...]] = {
    Artifact.DUPLICATED_REGION: ("copy_move",),
    Artifact.PASTED_OBJECT: ("noise_level", "ela", "jpeg_ghost", "dwt_hh", "srm", "resampling"),
    Artifact.INPAINTED_FILL: ("noise_level", "dwt_hh", "srm", "ela"),
    Artifact.BLENDED_BOUNDARY: ("noise_level", "dwt_hh", "srm"),
    Artifact.RESYNTHESISED_TEXTURE: ("dwt_hh", "srm", "noise_level", "resampling"),
    Artifact.GENERATOR_TEXTURE: ("npr", "texture", "dwt_hh", "srm", "noise_level", "resampling"),
    Artifact.NOISE_MISMATCH: ("noise_level",),
    Artifact.SHARPNESS_MISMATCH: ("dwt_hh", "srm"),
    Artifact.COMPRESSION_MISMATCH: ("ela", "jpeg_ghost"),
    Artifact.RESAMPLING_TRACE: ("resampling",),
}
"""Features whose measurement can support a claim of each artifact."""

_WORTH_SAYING = 0.3
"""Contrasts below this (in log2) are not put into the prompt."""


@dataclass(frozen=True, slots=True)
class Clue:
    """One comparable number."""

    feature: str
    key: str
    """Name in the reference, for example `noise_level.log2_ratio`."""
    value: float
    phrase: str
    unusual: bool
    local: bool
    """Speaks about the marked area, not about the whole picture."""


def clues(
    measurements: Mapping[str, Measurement], mask: NDArray[np.bool_], reference: Reference
) -> list[Clue]:
    """All clues of a picture, local ones first.

    Args:
        measurements: of `measure_all`.
        mask: `[H, W]` the marked area; empty means that there is nothing to compare.
        reference: quantiles on real photographs.
    """
    found = _local(measurements, mask, reference) if mask.any() else []
    for name, measurement in measurements.items():
        for key, value in list(measurement.values.items())[:1]:
            full = f"{name}.{key}"
            phrase = f"{name.replace('_', ' ')} {value:.3g}"
            found.append(Clue(name, full, value, phrase, reference.unusual(full, value), False))
    return found


def _local(
    measurements: Mapping[str, Measurement], mask: NDArray[np.bool_], reference: Reference
) -> list[Clue]:
    found = []
    for name, result in contrast(measurements, mask).items():
        if name in CONTRASTS:
            key = f"{name}.log2_ratio"
            phrase = f"{CONTRASTS[name][0]} {2**result.log2_ratio:.1f}x inside"
            unusual = reference.unusual(key, result.log2_ratio)
            found.append(Clue(name, key, result.log2_ratio, phrase, unusual, True))
    return found


def prompt_phrase(found: list[Clue]) -> str:
    """The clues as one line of the prompt: the strongest contrasts, then what is unusual."""
    local = sorted((c for c in found if c.local), key=lambda c: -abs(c.value))
    phrases = [c.phrase for c in local if abs(c.value) >= _WORTH_SAYING][:4]
    phrases += [c.phrase for c in found if not c.local
                and (c.unusual or (c.feature == "copy_move" and c.value > 0))][:3]  # fmt: skip
    return ", ".join(phrases) or "nothing stands out"


def reference_row(
    measurements: Mapping[str, Measurement], mask: NDArray[np.bool_]
) -> dict[str, float]:
    """The values of one real photograph that a reference is fitted on; `mask` is any area of it."""
    empty = Reference({}, 0)
    return {clue.key: clue.value for clue in clues(measurements, mask, empty)}
