"""Changes of training pictures, one file each, found by folder scan; mask and label go with them.

    transform("patch_mask", {"share": 0.5})(picture, scene, rng)

A new one is one new module here that holds a subclass of `Transform` with the module's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from vlm_forensics.registry import Registry
from vlm_forensics.transforms.base import Picture, Scene, Transform

__all__ = ["Picture", "Scene", "Transform", "as_markdown", "fields", "names", "transform"]

_TRANSFORMS = Registry[Transform](__name__, Transform, "transform", besides={"base"})


def names() -> tuple[str, ...]:
    """Names of all transforms, in alphabetical order; imports none of them."""
    return _TRANSFORMS.names


def transform(name: str, settings: Mapping[str, Any]) -> Transform:
    """The transform of this name with these settings, defaults for the others.

    Raises:
        InputError: unknown_transform.
        pydantic.ValidationError: it has no such setting, or not with this value.
    """
    return _TRANSFORMS.member(name).model_validate(settings)


def fields(name: str) -> tuple[str, ...]:
    """Names of the settings of a transform.

    Raises:
        InputError: unknown_transform.
    """
    return tuple(_TRANSFORMS.member(name).model_fields)


def as_markdown() -> str:
    """The table of all transforms in `docs/training.md`."""
    rows = []
    for name in names():
        kind = _TRANSFORMS.member(name)
        settings = ", ".join(_setting(key, field) for key, field in kind.model_fields.items())
        serves = "A and B" if kind.describable else "A"
        rows.append(f"| `{name}` | {kind.does} | {settings} | {serves} |")
    return "\n".join(["| transform | what it does | settings | stages |", "|---|---|---|---|",
                      *rows]) + "\n"  # fmt: skip


def _setting(name: str, field: FieldInfo) -> str:
    return f"`{name}` (required)" if field.is_required() else f"`{name}: {field.default}`"
