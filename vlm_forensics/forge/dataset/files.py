"""Files that a reader, and a run that goes on after an interruption, sees whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from vlm_forensics.errors import VlmfError


def write(path: Path, data: bytes) -> None:
    """Writes or replaces a file in one step; makes its folder.

    Raises:
        VlmfError: output_unwritable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise unwritable(path, error) from None


def write_json(path: Path, content: Any) -> None:
    """Plain data as indented JSON; raises as `write`."""
    write(path, (json.dumps(content, indent=1) + "\n").encode())


def whole_lines(path: Path) -> list[str]:
    """The lines of a text file without a last one that was cut off; none if there is no file."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].split("\n")[:-1]


def unwritable(path: Path, error: OSError) -> VlmfError:
    """The error a user meets when a file of the output cannot be written."""
    reason = errno.errorcode.get(error.errno or 0, "unknown error")
    return VlmfError("output_unwritable", f"{path.name} cannot be written ({reason})",
                     hint="give a folder that you may write to, on a disk with space left"
                     )  # fmt: skip
