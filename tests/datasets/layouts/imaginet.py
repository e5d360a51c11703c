"""ImagiNet: annotation files without headers, folders by origin."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, put

TRAIN = ("./val2017/000000000139.jpg,0,0,4,8", "./sdxl_photos_fake/f193753e.webp,1,0,1,4")
TEST = ("./dalle3/8fff777b.png,1,3,3,7",)


def make(root: Path) -> list[Expected]:
    put(root / "val2017/000000000139.jpg", image_bytes(0, "JPEG"))
    put(root / "sdxl_photos_fake/f193753e.webp", image_bytes(1, "WEBP"))
    put(root / "dalle3/8fff777b.png", image_bytes(2))
    _annotate(root, "train_annotations", TRAIN)
    _annotate(root, "test_annotations", TEST)
    return [
        Expected(Label.REAL, "train"),
        Expected(Label.SYNTHETIC, "train", generator="SDXL v1.0"),
        Expected(Label.SYNTHETIC, "test", generator="DALL-E 3"),
    ]


def _annotate(root: Path, name: str, lines: tuple[str, ...]) -> None:
    put(root / f"annotations/{name}.txt", "\n".join((*lines, "")))


def broken_image(root: Path) -> SkipCode:
    put(root / "dalle3/8fff777b.png", b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_image(root: Path) -> SkipCode:
    (root / "val2017/000000000139.jpg").unlink()
    return SkipCode.MISSING_IMAGE


def short_line(root: Path) -> SkipCode:
    _annotate(root, "train_annotations", ("./val2017/000000000139.jpg,0", TRAIN[1]))
    return SkipCode.BROKEN_ROW


def unknown_label(root: Path) -> SkipCode:
    _annotate(root, "test_annotations", ("./dalle3/8fff777b.png,2,3,3,7",))
    return SkipCode.UNKNOWN_LABEL


def unknown_generator(root: Path) -> SkipCode:
    _annotate(root, "test_annotations", ("./dalle3/8fff777b.png,1,3,3,9",))
    return SkipCode.BROKEN_ROW


DAMAGES = (broken_image, missing_image, short_line, unknown_label, unknown_generator)
