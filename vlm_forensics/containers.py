"""What a file is and where it ends, read from its bytes without decoding a pixel."""

from __future__ import annotations

import re

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
"""The accepted formats, by the names Pillow registers them under."""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_MAX_PARTS = 100_000


def sniff(data: bytes) -> str | None:
    """The accepted format this content announces, or None for anything else.

    The first bytes decide; the name of a file is never looked at.
    """
    for magic, format_name in _MAGIC.items():
        if data.startswith(magic):
            return format_name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return _sniff_isobmff(data)


def _sniff_isobmff(data: bytes) -> str | None:
    """AVIF or HEIF by the brands of the `ftyp` box (ISO/IEC 23008-12)."""
    if data[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    if data[8:12] in _AVIF_BRANDS:
        return "AVIF"
    if data[8:12] not in _HEIF_BRANDS:
        return None
    # `mif1` names only the container: the compatible brands say what is coded inside.
    return "AVIF" if brands & _AVIF_BRANDS and not brands & {b"heic", b"heix"} else "HEIF"


def container_end(data: bytes, format_name: str) -> int | None:
    """Offset just behind the image by the container's own structure.

    Returns:
        More than `len(data)` for a file that was cut, less for one with bytes appended, None where
        the format does not say (TIFF, BMP, GIF) or the structure cannot be followed.
    """
    if format_name == "JPEG":
        return _jpeg_end(data)
    if format_name == "PNG":
        return _png_end(data)
    if format_name == "WEBP":
        size = int.from_bytes(data[4:8], "little")
        return 8 + size + size % 2
    if format_name in ("AVIF", "HEIF"):
        return _isobmff_end(data)
    return None


def bits_per_channel(data: bytes, format_name: str) -> int | None:
    """Stored bits per channel of a PNG or AVIF, or None where a decoder has to tell."""
    if format_name == "PNG" and len(data) > 24:
        return data[24]
    if format_name == "AVIF":
        at = data.find(b"pixi")
        if 0 <= at < len(data) - 10 and data[at + 8] in (1, 3, 4):
            return data[at + 9]
    return None


def _jpeg_end(data: bytes) -> int | None:
    """Behind the end-of-image marker of the first picture."""
    at = 2
    for _ in range(_MAX_PARTS):
        if at + 4 > len(data):
            return len(data) + 1
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            found = _JPEG_MARKER.search(data, at)
            if found is None:
                return len(data) + 1
            at = found.start()
            if data[at + 1] == 0xD9:
                return at + 2
    return None


def _png_end(data: bytes) -> int | None:
    """Behind the IEND chunk."""
    at = 8
    for _ in range(_MAX_PARTS):
        if at + 12 > len(data):
            return len(data) + 1
        kind = data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"IEND" or at > len(data):
            return at
    return None


def _isobmff_end(data: bytes) -> int | None:
    """Behind the last top-level box; bytes that are no box count as appended."""
    at = 0
    for _ in range(_MAX_PARTS):
        if at + 8 > len(data) or not data[at + 4 : at + 8].isalnum():
            return at
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 0:
            return len(data)
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:
            return None
        at += size
        if at > len(data):
            return at
    return None
