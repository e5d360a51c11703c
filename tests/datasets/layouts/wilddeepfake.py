"""WildDeepfake: frames of unpacked archives by part."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, put

NAMES = (
    "real_train/0/real/12/100.png", "fake_train/1/fake/131/942.png", "fake_test/3/fake/7/18.png",
)  # fmt: skip


def make(root: Path) -> list[Expected]:
    for seed, name in enumerate(NAMES):
        put(root / "deepfake_in_the_wild" / name, image_bytes(seed))
    put(root / "deepfake_in_the_wild/fake_train/1.tar.gz", b"already unpacked")
    return [
        Expected(Label.REAL, "train"),
        Expected(Label.TAMPERED, "train"),
        Expected(Label.TAMPERED, "test"),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / "deepfake_in_the_wild" / NAMES[0], b"no image")
    return SkipCode.BROKEN_IMAGE


@loses(0)
def packed_archive(root: Path) -> SkipCode:
    put(root / "deepfake_in_the_wild/real_train/8.tar.gz", b"frames")
    return SkipCode.BROKEN_FILE


DAMAGES = (broken_image, packed_archive)
