"""Order of the classes and operations in every logit of the model."""

from __future__ import annotations

from vlm_forensics.taxonomy import Label, Operation

CLASSES: tuple[Label, ...] = (Label.REAL, Label.SYNTHETIC, Label.TAMPERED)
OPERATIONS: tuple[Operation, ...] = tuple(Operation)
