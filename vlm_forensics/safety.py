"""Checks on a model folder before transformers may load it: no pickles, no custom code."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlm_forensics.errors import WeightsError

ALLOWED_SUFFIXES = frozenset({".json", ".safetensors", ".txt", ".model", ".jinja", ".md", ".yaml"})
ALLOWED_NAMES = frozenset({"LICENSE", "NOTICE"})
CODE_KEYS = frozenset({"auto_map", "custom_pipelines", "custom_code", "trust_remote_code"})
"""Keys of a JSON configuration that make transformers import Python files."""
MAX_HEADER_BYTES = 10 * 1024**2
MAX_TENSORS = 20_000
MAX_JSON_BYTES = 64 * 1024**2
_VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json"})
"""Their keys are words of a language, which may spell anything."""


def assert_safe(folder: Path) -> None:
    """Refuse a model folder that could run code or exhaust memory when it is loaded.

    Hidden files and folders (`.gitattributes`, `.cache`) are passed over: nothing loads them, and
    an index that names one is refused.

    Raises:
        WeightsError: `weights_missing` if there is no such folder, `weights_unsafe` for a file
            type outside `ALLOWED_SUFFIXES`, a key of `CODE_KEYS` or an absurd header,
            `weights_corrupt` for a file that is not what its name says.
    """
    if not folder.is_dir():
        raise WeightsError("weights_missing", f"{folder.name} is not a model folder",
                           hint="give a folder with config.json and *.safetensors")  # fmt: skip
    for path in visible_files(folder):
        if path.suffix.lower() not in ALLOWED_SUFFIXES and path.name not in ALLOWED_NAMES:
            raise _unsafe(f"{path.name} is not a file type that is safe to load")
        if path.suffix.lower() == ".safetensors":
            read_header(path)
        elif path.suffix.lower() == ".json" and path.name not in _VOCABULARIES:
            _check_json(path)


def visible_files(folder: Path) -> Iterator[Path]:
    """Every file below the folder, sorted, without hidden ones."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: tensor name → dtype, shape, data_offsets.

    Only the header is read, so this is cheap for any file size.

    Raises:
        WeightsError: `weights_corrupt` if the header is unreadable or the file's size is not what
            it says, `weights_unsafe` above `MAX_HEADER_BYTES` or `MAX_TENSORS`.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > min(MAX_HEADER_BYTES, max(size - 8, 0)):
            if 8 + length <= size:
                raise _unsafe(f"{path.name} has a header of {length} bytes")
            raise _corrupt(path)
        header = _parsed(path, stream.read(length))
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise _unsafe(f"{path.name} has {len(header)} tensors")
    try:
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
        numbers = [math.prod(entry["shape"]) for entry in header.values()]
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise _corrupt(path) from error
    if min(numbers, default=0) < 0 or 8 + length + max(ends, default=0) != size:
        raise _corrupt(path)
    return header


def _check_json(path: Path) -> None:
    """Refuse custom-code keys and, in a shard index, names that leave the folder."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise _unsafe(f"{path.name} is larger than {MAX_JSON_BYTES} bytes")
    content = _parsed(path, path.read_bytes())
    if path.name.endswith(".index.json"):
        shards = content.get("weight_map")
        for shard in set(shards.values()) if isinstance(shards, dict) else ():
            plain = isinstance(shard, str) and Path(shard).name == shard and shard[:1] != "."
            if not plain or not shard.endswith(".safetensors"):
                raise _unsafe(f"{path.name} names a shard that is not a safetensors file beside it")
        return
    key = _code_key(content)
    if key is not None:
        raise _unsafe(f"{path.name} asks to run custom code ({key})")


def _code_key(content: object) -> str | None:
    """The first key of `CODE_KEYS` with a value, at any depth."""
    waiting = [content]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            for key, value in node.items():
                if key in CODE_KEYS and value:
                    return str(key)
                waiting.append(value)
        elif isinstance(node, list):
            waiting.extend(node)
    return None


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _corrupt(path) from error
    if not isinstance(content, dict):
        # Some processors ship lists (special token maps); wrap so that one check serves both.
        return {"": content}
    return content


def _unsafe(message: str) -> WeightsError:
    return WeightsError(
        "weights_unsafe",
        message,
        hint="only safetensors weights and plain configurations are loaded; convert the model",
    )


def _corrupt(path: Path) -> WeightsError:
    return WeightsError(
        "weights_corrupt",
        f"{path.name} is damaged",
        hint="fetch it again; for built-in weights: vlmf models fetch --force",
    )
