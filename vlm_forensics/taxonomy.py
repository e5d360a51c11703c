"""The closed vocabularies: labels, verdicts, artifacts and operations, one word per thing."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Label(StrEnum):
    """Ground truth of a sample."""

    REAL = "real"
    SYNTHETIC = "synthetic"
    TAMPERED = "tampered"


Forged = Literal[Label.SYNTHETIC, Label.TAMPERED]
"""The labels that accuse."""


class Verdict(StrEnum):
    """What the system says; `inconclusive` always comes with its reasons."""

    REAL = "real"
    SYNTHETIC = "synthetic"
    TAMPERED = "tampered"
    INCONCLUSIVE = "inconclusive"


class Strength(StrEnum):
    """Words for the calibrated probability of the verdict, at the cut points of `STRENGTH_CUTS`."""

    WEAK = "weak"
    MODERATE = "moderate"
    STRONG = "strong"
    VERY_STRONG = "very strong"


STRENGTH_CUTS = {Strength.WEAK: 0.0, Strength.MODERATE: 0.5, Strength.STRONG: 0.7,
                 Strength.VERY_STRONG: 0.9}  # fmt: skip
"""Lower bound of each word: below 50 % weak, from 50 moderate, 70 strong, 90 very strong."""


class Operation(StrEnum):
    """What was done to a forged sample.

    The detector's head tells only some of them apart: `model.config.OPERATIONS`.
    """

    SPLICE = "splice"
    COPY_MOVE = "copy_move"
    INPAINTING = "inpainting"
    BLENDING = "blending"
    LOCAL_SUPER_RESOLUTION = "local_super_resolution"
    LOCAL_AUTOENCODER = "local_autoencoder"
    WHOLE_SUPER_RESOLUTION = "whole_super_resolution"
    WHOLE_AUTOENCODER = "whole_autoencoder"
    FULL_GENERATION = "full_generation"
    LOCAL_RESAMPLING = "local_resampling"
    LOCAL_NOISE = "local_noise"
    LOCAL_BLUR = "local_blur"
    LOCAL_COMPRESSION = "local_compression"
    INPAINTING_EXCHANGE = "inpainting_exchange"
    LAUNDERING = "laundering"


class Origin(StrEnum):
    """Where the pixels outside the altered area come from."""

    CAMERA = "camera"
    LAUNDERED = "laundered"
    """A real photograph that went through the autoencoder of an image generator."""
    RESYNTHESISED = "resynthesised"
    """A network drew every pixel anew."""


class Artifact(StrEnum):
    """The trace a claim names. The closed taxonomy of rationales."""

    DUPLICATED_REGION = "duplicated_region"
    PASTED_OBJECT = "pasted_object"
    INPAINTED_FILL = "inpainted_fill"
    BLENDED_BOUNDARY = "blended_boundary"
    RESYNTHESISED_TEXTURE = "resynthesised_texture"
    GENERATOR_TEXTURE = "generator_texture"
    NOISE_MISMATCH = "noise_mismatch"
    SHARPNESS_MISMATCH = "sharpness_mismatch"
    COMPRESSION_MISMATCH = "compression_mismatch"
    RESAMPLING_TRACE = "resampling_trace"


OPERATION_ARTIFACT: dict[Operation, Artifact] = {
    Operation.SPLICE: Artifact.PASTED_OBJECT,
    Operation.COPY_MOVE: Artifact.DUPLICATED_REGION,
    Operation.INPAINTING: Artifact.INPAINTED_FILL,
    Operation.BLENDING: Artifact.BLENDED_BOUNDARY,
    Operation.LOCAL_SUPER_RESOLUTION: Artifact.RESYNTHESISED_TEXTURE,
    Operation.LOCAL_AUTOENCODER: Artifact.RESYNTHESISED_TEXTURE,
    Operation.WHOLE_SUPER_RESOLUTION: Artifact.GENERATOR_TEXTURE,
    Operation.WHOLE_AUTOENCODER: Artifact.GENERATOR_TEXTURE,
    Operation.FULL_GENERATION: Artifact.GENERATOR_TEXTURE,
    Operation.LOCAL_RESAMPLING: Artifact.RESAMPLING_TRACE,
    Operation.LOCAL_NOISE: Artifact.NOISE_MISMATCH,
    Operation.LOCAL_BLUR: Artifact.SHARPNESS_MISMATCH,
    Operation.LOCAL_COMPRESSION: Artifact.COMPRESSION_MISMATCH,
    Operation.INPAINTING_EXCHANGE: Artifact.RESYNTHESISED_TEXTURE,
    Operation.LAUNDERING: Artifact.GENERATOR_TEXTURE,
}
"""The artifact that names each operation; further artifacts are measured side traces."""
