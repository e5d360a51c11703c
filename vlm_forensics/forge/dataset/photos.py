"""The photographs a dataset is forged from: found, read, cut to a working size."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from vlm_forensics.decoding import Limits, RefusedError, decode
from vlm_forensics.errors import InputError
from vlm_forensics.forge.base import Rgb
from vlm_forensics.image import display_transform, printable

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif",
                      ".heic", ".heif"})  # fmt: skip
"""Names taken for photographs; what a file really holds is found in its content."""
LIMITS = Limits(min_side=128)
_NEEDED = 2
"""A forgery may take pixels from another photograph."""
_ACCEPTED = "give a folder with JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIF photographs"


@dataclass(frozen=True)
class Photos:
    """The photographs of a folder and its subfolders."""

    root: Path
    names: tuple[str, ...]
    """Relative paths with forward slashes, sorted."""
    others: int
    """Files whose name is not that of a photograph."""

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def digest(self) -> str:
        """sha256 over names and sizes: a folder that changed gives other samples."""
        lines = (f"{name}\0{(self.root / name).stat().st_size}\n" for name in self.names)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def read(self, index: int) -> Rgb:
        """Pixels of one photograph, upright, `[H, W, 3]`.

        Decoded in this process: a folder to train from is trusted, unlike an image to examine.

        Raises:
            RefusedError: with the code of `InputError` that says why.
        """
        try:
            path = self.root / self.names[index]
            if path.stat().st_size > LIMITS.max_bytes:
                raise RefusedError("file_too_large")
            data = path.read_bytes()
        except OSError:
            raise RefusedError("unreadable") from None
        if not data:
            raise RefusedError("empty_file")
        found = decode(data, LIMITS)
        rgb = np.frombuffer(found.rgb, np.uint8).reshape(found.height, found.width, 3)
        return np.ascontiguousarray(display_transform(rgb, found.orientation), np.uint8)


def find(folder: Path) -> Photos:
    """The photographs in `folder`, at least two of which can be read.

    Raises:
        InputError: not_found, or no_photos when too few can be read.
    """
    if not folder.is_dir():
        raise InputError("not_found", f"{printable(folder.name)} is not a folder", hint=_ACCEPTED)
    files = sorted(path.relative_to(folder).as_posix() for path in _files(folder))
    names = tuple(name for name in files if Path(name).suffix.lower() in SUFFIXES)
    photos = Photos(folder, names, len(files) - len(names))
    _assert_enough(photos)
    return photos


def working_size(photo: Rgb, pixels: int, rng: np.random.Generator) -> Rgb:
    """The photograph, or of a larger one a random part of its shape, shrunk to `pixels`.

    The part's size is log-uniform between `pixels` and all of it: some pictures keep the pixel
    grid of the camera, some are shrunk as most published ones are.
    """
    height, width = photo.shape[:2]
    # Drawn in any case, so that what follows does not depend on the size of the photograph.
    share, left, top = rng.uniform(size=3)
    excess = height * width / pixels
    if excess <= 1:
        return photo
    factor = np.sqrt(excess ** (share - 1))
    h, w = round(height * factor), round(width * factor)
    x, y = int(left * (width - w)), int(top * (height - h))
    shrink = min(1.0, np.sqrt(pixels / (h * w)))
    size = max(1, round(w * shrink)), max(1, round(h * shrink))
    part = np.ascontiguousarray(photo[y : y + h, x : x + w])
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)


def _files(folder: Path) -> list[Path]:
    found = []
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(base, name) for name in names if not name.startswith("."))
        found += [path for path in paths if path.is_file()]  # a pipe would never end
    return found


def _assert_enough(photos: Photos) -> None:
    if not photos.names:
        extra = f", {photos.others} other files" if photos.others else ""
        raise InputError("no_photos", f"{printable(photos.root.name)} holds no photographs{extra}",
                         hint=_ACCEPTED)  # fmt: skip
    reasons: list[str] = []
    for index in range(len(photos)):
        try:
            photos.read(index)
        except RefusedError as refused:
            reasons.append(refused.code)
        if index + 1 - len(reasons) == _NEEDED:
            return
    why = ", ".join(f"{reasons.count(code)} {code}" for code in sorted(set(reasons)))
    found = len(photos) - len(reasons)
    raise InputError(
        "no_photos", f"{found} of {len(photos)} photographs can be read, {_NEEDED} are needed"
        + (f" ({why})" if why else ""), hint=_ACCEPTED,
    )  # fmt: skip
