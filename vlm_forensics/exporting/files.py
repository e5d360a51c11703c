"""Writing a report's files: JSON, overlay, mask and HTML, each whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_forensics import masks
from vlm_forensics.errors import VlmfError
from vlm_forensics.exporting import overlay
from vlm_forensics.report import ImageFacts, Report

if TYPE_CHECKING:
    from vlm_forensics.detector import Examination


def stem(facts: ImageFacts) -> str:
    """The image's name without its ending, made safe for any file system; never empty."""
    name = "stdin" if facts.name == "-" else Path(facts.name).stem
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")[:80] or "image"


def key(facts: ImageFacts) -> str:
    """`<stem>-<sha256[:8]>`, which two different images do not share."""
    return f"{stem(facts)}-{facts.sha256[:8]}"


def write(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        VlmfError: output_unwritable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp gives 0600
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "unknown error")
        raise VlmfError(
            "output_unwritable",
            f"{path.name} cannot be written ({reason})",
            hint="give a folder that you may write to, on a disk with space left",
        ) from None


def png(array: NDArray[np.uint8]) -> bytes:
    """The array, `[H, W]` or `[H, W, 3 or 4]`, as PNG."""
    buffer = io.BytesIO()
    # Colour hardly shrinks further at higher levels, which take more than twice as long.
    how: dict[str, Any] = {"optimize": True} if array.ndim == 2 else {"compress_level": 2}
    Image.fromarray(array).save(buffer, "PNG", **how)
    return buffer.getvalue()


def mask_png(report: Report) -> bytes:
    """The mask as an 8-bit PNG of 0 and 255 in the stored grid; all 0 when nothing is marked."""
    if report.mask is None:
        return png(np.zeros((report.image.height, report.image.width), np.uint8))
    return png(masks.decode(report.mask).astype(np.uint8) * 255)


def overlay_png(examination: Examination) -> bytes:
    """The overlay picture as PNG."""
    return png(overlay.overlay(examination, overlay.FILE_SIDE))


def export(examination: Examination, folder: Path) -> list[Path]:
    """Write everything about one image to a folder.

    Returns:
        The files written: JSON and HTML always, overlay and mask where something is marked.

    Raises:
        VlmfError: output_unwritable.
    """
    from vlm_forensics.exporting import html

    report, name = examination.report, key(examination.report.image)
    contents = {
        f"{name}.json": report.to_json().encode() + b"\n",
        f"{name}.html": html.page(examination).encode(),
    }
    if report.mask is not None:
        contents[f"{name}.overlay.png"] = overlay_png(examination)
        contents[f"{name}.mask.png"] = mask_png(report)
    for file, data in contents.items():
        write(folder / file, data)
    return [folder / file for file in contents]


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
