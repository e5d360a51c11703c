"""Tiny datasets in the layouts that were published, one module for each adapter.

Each module holds

* `make(root)`: writes two to six images of 48 px and says what an adapter must find there;
* `DAMAGES`: functions that break one thing in a made dataset and return the code that must then be
  reported. `@loses(n)` says how many samples are gone with it, one if nothing is said.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

SIDE = 48
BOX = (slice(10, 30), slice(16, 40))
"""Rows and columns that every made mask marks."""

Damage = Callable[[Path], SkipCode]


def loses(number: int) -> Callable[[Damage], Damage]:
    """Says how many good samples a damage takes away."""

    def mark(damage: Damage) -> Damage:
        damage.loses = number  # type: ignore[attr-defined]
        return damage

    return mark


def breaks(place: str, code: SkipCode = SkipCode.BROKEN_IMAGE) -> Damage:
    """A damage: the file at `place` is no picture any more."""

    def damage(root: Path) -> SkipCode:
        put(root / place, b"no picture")
        return code

    damage.__name__ = code.value
    return damage


def removes(place: str, code: SkipCode) -> Damage:
    """A damage: there is no file at `place`."""

    def damage(root: Path) -> SkipCode:
        (root / place).unlink()
        return code

    damage.__name__ = code.value
    return damage


@dataclass(frozen=True)
class Expected:
    """What an adapter must find, one for each sample, in any order."""

    label: Label
    split: str
    mask: bool = False
    generator: str = ""
    explanation: str = ""


def layouts() -> dict[str, ModuleType]:
    """The modules of this folder by name."""
    return {m.name: importlib.import_module(f"{__name__}.{m.name}")
            for m in pkgutil.iter_modules(__path__)}  # fmt: skip


def image_bytes(seed: int, form: str = "PNG") -> bytes:
    """A picture of noise, another for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return _saved(Image.fromarray(pixels), form)


def mask_bytes(white: int = 255) -> bytes:
    """A mask that marks `BOX`."""
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[BOX] = white
    return _saved(Image.fromarray(pixels), "PNG")


def put(path: Path, data: bytes | str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def put_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a parquet file, two rows a group, so that some lie beyond the first group."""
    pyarrow = pytest.importorskip("pyarrow", reason="pip install '.[train]'")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install '.[train]'")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
    return path


def _saved(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()
