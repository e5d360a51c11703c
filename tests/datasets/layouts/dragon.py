"""DRAGON: a training shard, and a test shard of the Hub's names."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, put

SHARD = "train/dragon_train_000.tar"
MEMBERS = {
    "a.png": image_bytes(0), "a.model.txt": b"sdxl-turbo", "a.json": b'{"prompt": "a cat"}',
    "b.png": image_bytes(1), "b.model.txt": b"flux.1-dev", "b.json": b'{"prompt": "a dog"}',
}  # fmt: skip


def make(root: Path) -> list[Expected]:
    _tar(root / SHARD, MEMBERS)
    _tar(root / "test/dragon_test_00.tar", {"a.png": image_bytes(2), "a.model.txt": b"kandinsky-3"})
    return [
        Expected(Label.SYNTHETIC, "train", generator="sdxl-turbo"),
        Expected(Label.SYNTHETIC, "train", generator="flux.1-dev"),
        Expected(Label.SYNTHETIC, "test", generator="kandinsky-3"),
    ]


def _tar(path: Path, members: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    put(path, buffer.getvalue())


def broken_image(root: Path) -> SkipCode:
    _tar(root / SHARD, MEMBERS | {"a.png": b"no image"})
    return SkipCode.BROKEN_IMAGE


def sample_without_model(root: Path) -> SkipCode:
    _tar(root / SHARD, {name: data for name, data in MEMBERS.items() if name != "a.model.txt"})
    return SkipCode.BROKEN_ROW


@loses(0)
def no_tar(root: Path) -> SkipCode:
    put(root / "train/dragon_train_001.tar", b"a page of an error message")
    return SkipCode.BROKEN_FILE


DAMAGES = (broken_image, sample_without_model, no_tar)
