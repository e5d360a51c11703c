"""A folder with an index.csv."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, mask_bytes, put

ROWS = (
    "a.png,real,train,mine,,,",
    "b.png,synthetic,val,mine,,some-gan,",
    'c.png,tampered,test,mine,m.png,splice,"a pasted cat, at the left"',
)


def make(root: Path) -> list[Expected]:
    for seed, name in enumerate("abc"):
        put(root / f"{name}.png", image_bytes(seed))
    put(root / "m.png", mask_bytes())
    _index(root, ROWS)
    return [
        Expected(Label.REAL, "train"),
        Expected(Label.SYNTHETIC, "val", generator="some-gan"),
        Expected(Label.TAMPERED, "test", True, "splice", "a pasted cat, at the left"),
    ]


def _index(root: Path, rows: tuple[str, ...]) -> None:
    header = "path,label,split,source,mask,generator,explanation"
    put(root / "index.csv", "\n".join((header, *rows)))


def broken_image(root: Path) -> SkipCode:
    put(root / "a.png", b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_mask(root: Path) -> SkipCode:
    (root / "m.png").unlink()
    return SkipCode.MISSING_MASK


def short_row(root: Path) -> SkipCode:
    _index(root, ("a.png,real", *ROWS[1:]))
    return SkipCode.BROKEN_ROW


def unknown_label(root: Path) -> SkipCode:
    _index(root, ("a.png,fakey,train,mine,,,", *ROWS[1:]))
    return SkipCode.UNKNOWN_LABEL


@loses(0)
def duplicate(root: Path) -> SkipCode:
    _index(root, (ROWS[0], ROWS[0], *ROWS[1:]))
    return SkipCode.DUPLICATE_ID


DAMAGES = (broken_image, missing_mask, short_row, unknown_label, duplicate)
