"""NIST16: a table with bars between its cells; masks are black on white."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageOps

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, mask_bytes, put, removes

TABLE = "reference/manipulation/NC2016-manipulation-ref.csv"
MASK = "reference/manipulation/mask/NC2016_2490.png"
HEADER = (
    "TaskID|ProbeFileID|ProbeFileName|ProbeMaskFileName|DonorFileID|IsTarget"
    "|IsManipulationTypeRemoval|IsManipulationTypeSplice|IsManipulationTypeCopyClone|Collection"
)
ROWS = (
    "Manipulation|NC2016_0098|probe/NC2016_0098.jpg|||N|N|N|N|Nimble-SCI",
    f"Manipulation|NC2016_7691|probe/NC2016_7691.jpg|{MASK}||Y|N|Y|N|Nimble-SCI",
    "Manipulation|NC2016_0110|probe/NC2016_0110.jpg"
    "|reference/manipulation/mask/NC2016_0001.png||Y|Y|N|N|Nimble-WEB",
)


def make(root: Path) -> list[Expected]:
    for seed, name in enumerate(("0098", "7691", "0110")):
        put(root / f"probe/NC2016_{name}.jpg", image_bytes(seed, "JPEG"))
    put(root / MASK, _mask())
    put(root / "reference/manipulation/mask/NC2016_0001.png", _mask())
    _table(root, ROWS)
    return [
        Expected(Label.REAL, "test"),
        Expected(Label.TAMPERED, "test", True, "splicing"),
        Expected(Label.TAMPERED, "test", True, "removal"),
    ]


def _mask() -> bytes:
    buffer = io.BytesIO()
    ImageOps.invert(Image.open(io.BytesIO(mask_bytes()))).save(buffer, "PNG")
    return buffer.getvalue()


def _table(root: Path, rows: tuple[str, ...]) -> None:
    put(root / TABLE, "\n".join((HEADER, *rows)) + "\n")


def short_row(root: Path) -> SkipCode:
    _table(root, (ROWS[0].rsplit("|", 1)[0], *ROWS[1:]))
    return SkipCode.BROKEN_ROW


def target_without_mask(root: Path) -> SkipCode:
    _table(root, (ROWS[0], ROWS[1].replace(MASK, ""), ROWS[2]))
    return SkipCode.BROKEN_ROW


def unknown_label(root: Path) -> SkipCode:
    _table(root, (ROWS[0].replace("|N|N|N|N|", "|maybe|N|N|N|"), *ROWS[1:]))
    return SkipCode.UNKNOWN_LABEL


DAMAGES = (
    breaks("probe/NC2016_7691.jpg"),
    removes("probe/NC2016_0098.jpg", SkipCode.MISSING_IMAGE),
    removes(MASK, SkipCode.MISSING_MASK),
    breaks(MASK, SkipCode.BROKEN_MASK),
    short_row, target_without_mask, unknown_label,
)  # fmt: skip
