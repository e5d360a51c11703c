"""One image as evidence: its exact bytes and its pixels, decoded once.

    image = EvidenceImage.open("photo.jpg")
    image.sha256, image.format, image.rgb.shape, image.notices

The rules that make pixels of a file are in `docs/canonicalisation.md`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.canonical import CANONICALISATION
from vlm_forensics.containers import FORMATS, sniff
from vlm_forensics.decoding import Decoded, Limits, RefusedError
from vlm_forensics.errors import InputError
from vlm_forensics.sandbox import decode_isolated

if TYPE_CHECKING:  # imported in methods: decoding need not wait for pydantic
    from vlm_forensics.report import ImageFacts, Notice

__all__ = ["DEFAULT_LIMITS", "EvidenceImage", "Limits", "display_transform", "printable"]

DEFAULT_LIMITS = Limits()

_ACCEPTED = f"give one of {', '.join(FORMATS)}"
_HINTS = {
    "unsupported_format": f"{_ACCEPTED}; export other files (PDF, SVG, camera raw) first",
    "too_many_pixels": "crop it; scaling it down would destroy the traces that are measured",
    "too_small": "look for a larger copy",
    "truncated": "copy or download the file again",
    "decode_failed": "check that it opens in a viewer, then copy it again from its source",
    "decode_timeout": "the file is built to be slow or the machine is overloaded",
    "decode_memory": "the file needs far more memory than its size justifies",
}


def printable(text: str, limit: int = 200) -> str:
    """The text on one line without control, escape, direction-changing or unpaired characters.

    Args:
        text: anything, including text written by an attacker.
        limit: longest result, characters; longer text ends in an ellipsis.
    """
    # An unbroken megabyte of junk need not be classified character by character.
    kept = "".join(
        " " if char.isspace() else char
        for char in text[: 8 * limit]
        if char.isspace() or unicodedata.category(char)[0] != "C"
    )
    kept = " ".join(kept.split())
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def display_transform(array: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """The array turned as a viewer turns the picture; pixels, masks and maps alike.

    Args:
        array: `[H, W, ...]` on the stored grid.
        orientation: EXIF orientation, 1 to 8.

    Returns:
        A view, `[W, H, ...]` for orientations 5 to 8.
    """
    turned = np.swapaxes(array, 0, 1) if orientation >= 5 else array
    flips: dict[int, tuple[slice, ...]] = {
        2: (slice(None), slice(None, None, -1)),
        3: (slice(None, None, -1), slice(None, None, -1)),
        4: (slice(None, None, -1),),
        6: (slice(None), slice(None, None, -1)),
        7: (slice(None, None, -1), slice(None, None, -1)),
        8: (slice(None, None, -1),),
    }
    return turned[flips.get(orientation, ())]


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceImage:
    """A file and its pixels. Satisfies `features.base.Pixels`."""

    name: str
    """Base name, control characters removed; `-` for standard input."""
    data: bytes = field(repr=False)
    """The file's exact bytes."""
    sha256: str
    format: Literal["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF"]
    """Found in the content."""
    width: int
    """Stored grid, pixels."""
    height: int
    orientation: int
    """EXIF orientation 1 to 8, not applied to the pixels."""
    rgb: NDArray[np.uint8] = field(repr=False)
    """`[H, W, 3]` 8-bit sRGB on the stored grid, read-only."""
    quantization: dict[int, tuple[int, ...]] | None = field(repr=False)
    """JPEG quantisation tables, id → 64 values in natural (row by row) order; None otherwise."""
    notices: tuple[Notice, ...]
    """One for each rule of canonicalisation that applied."""
    fields: dict[str, str] = field(repr=False)
    """Metadata text as found, unchecked; `metadata.read` makes something of it."""
    canonicalisation: str = CANONICALISATION

    @classmethod
    def open(
        cls, path: str | Path, *, limits: Limits = DEFAULT_LIMITS,
        while_decoding: Callable[[], object] | None = None,
    ) -> EvidenceImage:  # fmt: skip
        """The image in this regular file; the last argument as in `from_bytes`.

        Raises:
            InputError: any code of the class except bad_report.
        """
        name = printable(os.path.basename(os.fspath(path))) or "image"
        data = _read_file(os.fspath(path), name, limits)
        return cls.from_bytes(data, name, limits=limits, while_decoding=while_decoding)

    @classmethod
    def from_bytes(
        cls, data: bytes, name: str = "-", *, limits: Limits = DEFAULT_LIMITS,
        while_decoding: Callable[[], object] | None = None,
    ) -> EvidenceImage:  # fmt: skip
        """The image in these bytes.

        Args:
            data: a whole file.
            name: what reports call it; folders in front of it are dropped.
            limits: gates and the worker's limits.
            while_decoding: started once the file looks like an image, before its pixels are known,
                to begin work of its own in the background.

        Raises:
            InputError: empty_file, file_too_large, unsupported_format, too_many_pixels, too_small,
                truncated, decode_failed, decode_timeout, decode_memory.
        """
        name = printable(os.path.basename(name.replace("\\", "/"))) or "image"
        _gate_bytes(data, name, limits)
        if while_decoding is not None:
            while_decoding()
        try:
            decoded = decode_isolated(data, limits)
        except RefusedError as refused:
            raise _input_error(refused, name, limits) from None
        return cls._of(data, name, decoded)

    @classmethod
    def _of(cls, data: bytes, name: str, decoded: Decoded) -> EvidenceImage:
        from vlm_forensics.report import Notice

        # An array over immutable bytes is read-only and shares their memory.
        rgb = np.frombuffer(decoded.rgb, np.uint8).reshape(decoded.height, decoded.width, 3)
        tables = decoded.quantization
        return cls(
            name=name,
            data=data,
            sha256=hashlib.sha256(data).hexdigest(),
            format=decoded.format,  # type: ignore[arg-type]  # checked against FORMATS
            width=decoded.width,
            height=decoded.height,
            orientation=decoded.orientation,
            rgb=rgb,
            quantization={i: tuple(t) for i, t in tables.items()} if tables else None,
            notices=tuple(
                Notice(code=printable(code, 60), message=printable(message))
                for code, message in decoded.notices
            ),
            fields=decoded.fields,
        )

    def facts(self) -> ImageFacts:
        """What the report says about the file."""
        from vlm_forensics.report import ImageFacts

        return ImageFacts(
            name=self.name,
            sha256=self.sha256,
            bytes=len(self.data),
            format=self.format,
            width=self.width,
            height=self.height,
            orientation=self.orientation,
            canonicalisation=self.canonicalisation,
            notices=self.notices,
        )


def _gate_bytes(data: bytes, name: str, limits: Limits) -> None:
    if not data:
        raise InputError("empty_file", f"{name} is empty (0 bytes)", hint=_HINTS["truncated"])
    if len(data) > limits.max_bytes:
        raise _too_large(name, limits)
    if sniff(data) is None:
        raise _input_error(RefusedError("unsupported_format"), name, limits)


def _too_large(name: str, limits: Limits) -> InputError:
    megabytes = limits.max_bytes / 2**20
    return InputError(
        "file_too_large",
        f"{name} is larger than {megabytes:g} MB",
        hint=f"files up to {megabytes:g} MB are read",
    )


def _read_file(path: str, name: str, limits: Limits) -> bytes:
    """The bytes of a regular file; a device, a pipe or a folder is never read."""
    try:
        _gate_kind(os.stat(path), name, limits)
        # Non-blocking, and checked again once open: the path may be swapped for a pipe meanwhile.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
        with os.fdopen(handle, "rb") as file:
            _gate_kind(os.fstat(file.fileno()), name, limits)
            return file.read(limits.max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("not_found", f"{name} does not exist", hint="check the path") from None
    except ValueError:  # a zero byte in the path
        raise InputError("not_found", f"{name} is no file name", hint="check the path") from None
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "unknown error")
        raise InputError(
            "unreadable", f"{name} cannot be read ({reason})", hint="check its permissions"
        ) from None


_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _gate_kind(status: os.stat_result, name: str, limits: Limits) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise InputError("is_directory", f"{name} is a folder", hint="name the image files in it")
    if not stat.S_ISREG(status.st_mode):
        raise InputError("not_a_file", f"{name} is not a regular file", hint=_ACCEPTED)
    if status.st_size > limits.max_bytes:
        raise _too_large(name, limits)


def _input_error(refused: RefusedError, name: str, limits: Limits) -> InputError:
    """The error a user meets, worded here and never by a decoder."""
    size = f"{refused.width}x{refused.height} pixels" if refused.width else "too many pixels"
    messages = {
        "unsupported_format": f"{name} is not an image in an accepted format",
        "too_many_pixels": f"{name} has {size}; the limit is {limits.max_pixels / 1e6:g} million",
        "too_small": f"{name} has {size}; the shortest side must be at least {limits.min_side}",
        "truncated": f"{name} is cut off: the image data ends too early",
        "decode_failed": f"{name} is damaged and cannot be decoded",
        "decode_timeout": f"{name} took too long to decode and was stopped",
        "decode_memory": f"{name} needs more memory to decode than is allowed",
    }
    return InputError(refused.code, messages[refused.code], hint=_HINTS[refused.code])
