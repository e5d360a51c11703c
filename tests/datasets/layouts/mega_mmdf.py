"""Mega-MMDF: lists of videos, and the frames that its user took out of them."""

from __future__ import annotations

import json
from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, breaks, image_bytes, put, removes

VIDEOS = ("Mega-MMDF/RARV/id0/a.mp4", "Mega-MMDF/FARV/id1/b.mp4", "Mega-MMDF\\RAFV\\id2\\c.mp4")


def make(root: Path) -> list[Expected]:
    for seed, folder in enumerate(("RARV/id0/a", "FARV/id1/b", "RAFV/id2/c")):
        put(root / folder / "000.png", image_bytes(seed))
    put(root / "RAFV/id2/c/001.png", image_bytes(9))
    put(root / "attributes.json", "{}")
    put(root / "train.json", json.dumps(VIDEOS[:2]))
    put(root / "test.json", json.dumps(VIDEOS[2:]))
    real, fake = Expected(Label.REAL, "train"), Expected(Label.TAMPERED, "test")
    return [real, real, fake, fake]


def unknown_kind(root: Path) -> SkipCode:
    put(root / "train.json", json.dumps(["Mega-MMDF/other/id0/a.mp4", VIDEOS[1]]))
    return SkipCode.UNKNOWN_LABEL


def no_name(root: Path) -> SkipCode:
    put(root / "train.json", json.dumps([7, VIDEOS[1]]))
    return SkipCode.BROKEN_ROW


def name_outside(root: Path) -> SkipCode:
    put(root / "train.json", json.dumps(["../RARV/a.mp4", VIDEOS[1]]))
    return SkipCode.BROKEN_ROW


DAMAGES = (
    breaks("RARV/id0/a/000.png"),
    removes("FARV/id1/b/000.png", SkipCode.MISSING_IMAGE),
    unknown_kind, no_name, name_outside,
)  # fmt: skip
