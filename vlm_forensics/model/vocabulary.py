"""Order of the classes and operations in every logit of the model."""

from __future__ import annotations

from vlm_forensics.taxonomy import Label, Operation

CLASSES: tuple[Label, ...] = (Label.REAL, Label.SYNTHETIC, Label.TAMPERED)
OPERATIONS: tuple[Operation, ...] = (
    Operation.SPLICE,
    Operation.COPY_MOVE,
    Operation.INPAINTING,
    Operation.BLENDING,
    Operation.LOCAL_SUPER_RESOLUTION,
    Operation.LOCAL_AUTOENCODER,
    Operation.WHOLE_SUPER_RESOLUTION,
    Operation.WHOLE_AUTOENCODER,
    Operation.FULL_GENERATION,
)
"""Trained weights depend on this order: the forge may learn operations that no head tells apart,
so it is not the whole taxonomy."""
