"""Decode one file's bytes: the work that `sandbox` runs in a limited process of its own.

Only Pillow, pillow-heif and the standard library are imported here, so that the process starts in
a tenth of a second. `decode` may be called directly on files that are trusted, such as training
images; it is the very function the worker runs.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import warnings
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from PIL import Image

from vlm_forensics.canonical import UnusablePixelsError, to_rgb
from vlm_forensics.containers import bits_per_channel, container_end, sniff

_TEXT_LIMIT = 65_536
_MAX_FIELDS = 64
_PNG_TEXT_CHUNK = 8 * 2**20
"""Photoshop histories in XMP pass Pillow's 1 MB; the memory limit still holds."""
_CODEC_THREADS = 2
"""A codec that starts a thread per core would spend the address space on stacks."""

_EXIF_FIELDS = {
    0x010E: "description",
    0x010F: "make",
    0x0110: "model",
    0x0131: "software",
    0x0132: "modified",
    0x013B: "artist",
}
_EXIF_IFD_FIELDS = {0x9003: "captured", 0x9286: "user_comment"}
_EXIF_IFD = 0x8769
_ORIENTATION = 0x0112
_DNG_VERSION = 0xC612
_NEW_SUBFILE_TYPE = 0x00FE
_TIFF_BITS = 0x0102


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may cost. Every gate of the image layer is here."""

    max_bytes: int = 64 * 2**20
    """Largest file, bytes."""
    max_pixels: int = 50_000_000
    """Largest stored grid, width times height, checked before a pixel is decoded."""
    min_side: int = 32
    """Shortest side, pixels; below it no trace can be measured."""
    memory_bytes: int = 2 * 2**30
    """Address space of the decode worker (RLIMIT_AS)."""
    cpu_seconds: int = 15
    """Processor time of the decode worker (RLIMIT_CPU)."""
    open_files: int = 64
    """File descriptors of the decode worker (RLIMIT_NOFILE)."""
    wall_seconds: float = 20.0
    """After this long the worker is killed."""


class RefusedError(Exception):
    """The file is refused; `code` is one of `errors.InputError`."""

    def __init__(self, code: str, *, width: int = 0, height: int = 0) -> None:
        super().__init__(code)
        self.code = code
        self.width = width
        self.height = height


@dataclass(slots=True)
class Decoded:
    """The decoded file: what the worker sends back, with the pixels as raw bytes."""

    format: str
    width: int
    height: int
    orientation: int
    rgb: bytes = b""
    """`height * width * 3` bytes, row by row."""
    quantization: dict[int, list[int]] | None = None
    notices: list[tuple[str, str]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    """Text found in the metadata, unchecked: name → value."""

    def note(self, code: str, message: str) -> None:
        """Keep a notice, once per code."""
        if all(code != known for known, _ in self.notices):
            self.notices.append((code, message))


def decode(data: bytes, limits: Limits) -> Decoded:
    """Decode the first frame of a file to 8-bit sRGB on its stored grid.

    Args:
        data: the file's exact bytes.
        limits: the gates; size of grid is checked before pixels are decoded.

    Raises:
        RefusedError: for every reason a file cannot be used, and only this.
    """
    format_name = sniff(data)
    if format_name is None:
        raise RefusedError("unsupported_format")
    try:
        return _decode(data, format_name, limits)
    except RefusedError:
        raise
    except MemoryError:
        raise RefusedError("decode_memory") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RefusedError("too_many_pixels") from None
    # The decode boundary: Pillow raises at least seven unrelated types on malformed files.
    except Exception as error:
        raise RefusedError(_code_of(error, data, format_name)) from None


def _decode(data: bytes, format_name: str, limits: Limits) -> Decoded:
    _load_plugin(format_name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
        with Image.open(io.BytesIO(data), formats=(format_name,)) as image:
            _gate(image, limits)
            image.load()
            decoded = Decoded(format_name, image.width, image.height, _orientation(image))
            _note_depth(image, data, decoded)
            rgb = to_rgb(image, decoded.note)
            decoded.rgb = rgb.tobytes()
            decoded.quantization = getattr(image, "quantization", None) or None
            decoded.fields = _fields(image)
            frames = _frame_count(image)
    _note_container(data, frames, decoded)
    return decoded


def _load_plugin(format_name: str) -> None:
    """Register the one plugin that is needed.

    Pillow answers a name it does not know with a bare KeyError, so the name must be registered
    before it is asked for.
    """
    if format_name == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False, decode_threads=_CODEC_THREADS)
        return
    __import__(f"PIL.{_PLUGINS[format_name]}")
    if format_name == "AVIF":
        sys.modules["PIL.AvifImagePlugin"].DEFAULT_MAX_THREADS = _CODEC_THREADS  # type: ignore[attr-defined]
    if format_name == "PNG":
        sys.modules["PIL.PngImagePlugin"].MAX_TEXT_CHUNK = _PNG_TEXT_CHUNK  # type: ignore[attr-defined]


_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "AVIF": "AvifImagePlugin",
}


def _gate(image: Image.Image, limits: Limits) -> None:
    """Refuse by the header, before a pixel is decoded."""
    width, height = image.size
    if width * height > limits.max_pixels:
        raise RefusedError("too_many_pixels", width=width, height=height)
    if min(width, height) < limits.min_side:
        raise RefusedError("too_small", width=width, height=height)
    tags = getattr(image, "tag_v2", {})
    if _DNG_VERSION in tags or tags.get(_NEW_SUBFILE_TYPE) == 1:
        # Camera raw files are TIFFs whose first page is a thumbnail: not the picture to judge.
        raise RefusedError("unsupported_format")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 where it is missing or not valid."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        return int(value) if int(value) in range(1, 9) else 1
    except Exception:  # junk EXIF must not cost the picture
        return 1


def _frame_count(image: Image.Image) -> int:
    """Frames in the file, at least 1."""
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except Exception:  # later frames may be damaged while the first is sound
        return 1


def _note_depth(image: Image.Image, data: bytes, decoded: Decoded) -> None:
    """Notice colour stored with more than 8 bits, which decoders deliver as the upper 8."""
    bits: Any = bits_per_channel(data, decoded.format) or image.info.get("bit_depth")
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        bits = max(tags.get(_TIFF_BITS, (8,)))
    if image.mode in ("RGB", "RGBA", "LA", "CMYK") and bits and bits > 8:
        decoded.note("high_bit_depth", f"{bits} bits per channel were reduced to the upper 8")


def _note_container(data: bytes, frames: int, decoded: Decoded) -> None:
    """Notices on rotation, further frames and where the file ends."""
    if decoded.orientation != 1:
        decoded.note(
            "exif_rotated",
            f"viewers turn this picture (EXIF orientation {decoded.orientation}); "
            "places are given in the stored grid",
        )
    if frames > 1:
        decoded.note("multi_frame", f"the file holds {frames} frames; only the first was examined")
    end = container_end(data, decoded.format)
    if end is None:
        return
    if end > len(data):
        decoded.note("incomplete_file", "the file ends before its own structure does")
    elif end < len(data) and not (decoded.format == "JPEG" and frames > 1):
        decoded.note("trailing_data", f"{len(data) - end} bytes follow the end of the image")


def _code_of(error: Exception, data: bytes, format_name: str) -> str:
    """The code for what a decoder raised; its text is looked at and never passed on."""
    if isinstance(error, UnusablePixelsError):
        return "decode_failed"
    end = container_end(data, format_name)
    cut = end is not None and end > len(data)
    if cut or isinstance(error, (EOFError, struct.error)) or "truncated" in str(error).lower():
        return "truncated"
    return "decode_failed"


def _fields(image: Image.Image) -> dict[str, str]:
    """Text of EXIF, XMP and comments, as far as it can be read."""
    found: dict[str, str] = {}
    try:
        exif = image.getexif()
        sources = ((exif, _EXIF_FIELDS), (exif.get_ifd(_EXIF_IFD), _EXIF_IFD_FIELDS))
        for tags, names in sources:
            found.update({f"exif:{name}": _text(tags[tag]) for tag, name in names.items()
                          if tag in tags})  # fmt: skip
    except Exception:  # junk metadata must not cost the picture
        found["exif:unreadable"] = "yes"
    for key, value in list(image.info.items())[:_MAX_FIELDS]:
        if key in ("xmp", "XML:com.adobe.xmp"):
            found["xmp"] = _text(value)
        elif key == "comment" or (image.format == "PNG" and isinstance(value, str)):
            found[f"text:{str(key)[:80]}"] = _text(value)
    return found


def _text(value: object) -> str:
    """The value as text of bounded length."""
    if isinstance(value, bytes):
        head = value[: _TEXT_LIMIT * 2]
        if head.startswith(b"UNICODE\0"):
            order = "be" if head[8:9] == b"\0" else "le"
            return head[8:].decode(f"utf-16-{order}", "replace")[:_TEXT_LIMIT]
        value = head.removeprefix(b"ASCII\0\0\0").decode("utf-8", "replace")
    return str(value)[:_TEXT_LIMIT]


def _limit_process(limits: Limits) -> None:
    """Cap memory, processor time, files and output of this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the wall clock of the parent is the only limit
        return
    caps = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for name, cap in caps.items():
        try:
            resource.setrlimit(name, (cap, cap))
        except (ValueError, OSError):  # a system that has the name but not the limit
            continue


def _answer(data: bytes, limits: Limits) -> tuple[dict[str, Any], bytes]:
    """The header and the pixels the worker sends."""
    try:
        decoded = decode(data, limits)
        pixels, decoded.rgb = decoded.rgb, b""
        header = {name: value for name, value in asdict(decoded).items() if name != "rgb"}
        return header, pixels
    except RefusedError as refused:
        return {
            "refused": refused.code,
            "width": refused.width,
            "height": refused.height,
        }, b""
    except MemoryError:
        return {"refused": "decode_memory", "width": 0, "height": 0}, b""


def serve(source: BinaryIO, sink: BinaryIO, limits: Limits) -> None:
    """Read one file from `source` and write header length (4 bytes), JSON header and pixels."""
    _limit_process(limits)
    header, pixels = _answer(source.read(), limits)
    text = json.dumps(header).encode()
    sink.write(struct.pack(">I", len(text)) + text)
    sink.write(pixels)
    sink.flush()


def main() -> None:
    """Entry point of the worker; the limits arrive as JSON in the first argument."""
    serve(sys.stdin.buffer, sys.stdout.buffer, Limits(**json.loads(sys.argv[1])))
