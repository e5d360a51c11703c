"""Families of vision-language models the detection parts can stand on, one file each.

    for_config(model.config.backbone_config).see(backbone, pixel_values)

A new family is one new module here that holds a `Family` called `FAMILY` with the module's name.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from vlm_forensics.backbones.base import Family, Seen
from vlm_forensics.errors import ModelError
from vlm_forensics.registry import Registry

__all__ = ["Family", "Seen", "all_families", "for_config", "names"]

_FAMILIES = Registry[Family](__name__, Family, "family", besides={"base", "mini"})


def names() -> tuple[str, ...]:
    """Names of all families, in alphabetical order; imports none of them."""
    return _FAMILIES.names


@cache
def all_families() -> tuple[Family, ...]:
    """All families, in the order of `names()`."""
    return tuple(_FAMILIES.module(name).FAMILY for name in names())


def for_config(config: Any) -> Family:
    """The family that serves this backbone configuration.

    Raises:
        ModelError: `model_unsupported`, no family serves its `model_type`.
    """
    kind = getattr(config, "model_type", None)
    for family in all_families():
        if kind in family.model_types:
            return family
    raise ModelError(
        "model_unsupported",
        f"backbones of type {kind!r} are not supported",
        hint=f"supported families: {', '.join(names())}",
    )
