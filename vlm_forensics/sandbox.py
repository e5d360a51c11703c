"""Run `decoding.decode` in a process of its own, without our memory, files or environment.

Image decoders are C code that is attacked through malformed files. The worker gets the bytes on
standard input and nothing else: a fresh isolated interpreter, capped memory, processor time and
descriptors, no writable files, an empty environment. Whatever happens to it becomes a typed error.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import IO, Any

from vlm_forensics.containers import FORMATS
from vlm_forensics.decoding import Decoded, Limits, RefusedError

_START = "import sys; sys.path += sys.argv[2:]; from vlm_forensics.decoding import main; main()"
_KEPT_ENVIRONMENT = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What the loader of the system may need; nothing else of ours is passed on."""
_MAX_HEADER = 16 * 2**20
_PIPE_BYTES = 2**20
_CODES = frozenset({"unsupported_format", "too_many_pixels", "too_small", "truncated",
                    "decode_failed", "decode_memory"})  # fmt: skip
"""The answers a worker may give; anything else is taken as a failure."""


def decode_isolated(data: bytes, limits: Limits) -> Decoded:
    """What `decoding.decode` returns for these bytes, computed in a limited worker process.

    Raises:
        RefusedError: as `decoding.decode`, or decode_timeout, decode_memory, decode_failed when the
            worker was stopped.
    """
    with _spawn(limits) as process:
        expired = threading.Event()
        timer = threading.Timer(limits.wall_seconds, _expire, (process, expired))
        timer.start()
        try:
            answer = _exchange(process, data, limits)
        finally:
            timer.cancel()
            process.kill()
            process.wait()
    if isinstance(answer, Decoded):
        return answer
    if expired.is_set():
        raise RefusedError("decode_timeout")
    raise answer or RefusedError(_code_of_exit(process.returncode))


def _spawn(limits: Limits) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", "-c", _START, json.dumps(asdict(limits)), *_paths()]
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    # numpy's library would reserve a stack and a buffer for every core.
    environment["OPENBLAS_NUM_THREADS"] = "1"
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=Path(sys.executable).anchor,
        pipesize=_PIPE_BYTES,
    )


@cache
def _paths() -> tuple[str, ...]:
    """Folders the worker imports from: an interpreter without `site` knows only its own library."""
    folders = [str(Path(__file__).resolve().parent.parent)]
    for name in ("PIL", "pillow_heif", "numpy"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folders.append(str(Path(spec.origin).parent.parent))
    return tuple(dict.fromkeys(folders))


def _expire(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    process.kill()


def _exchange(
    process: subprocess.Popen[bytes], data: bytes, limits: Limits
) -> Decoded | RefusedError | None:
    """Send the file, take the answer; None when the worker died or spoke nonsense.

    The worker reads everything before it writes, so sending first cannot block for ever.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError, OSError):
        process.stdin.write(data)
    with contextlib.suppress(BrokenPipeError, OSError):
        process.stdin.close()
    try:
        header = _read_header(process.stdout)
        if "refused" in header:
            return _refusal(header)
        return _read_decoded(header, process.stdout, limits)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error):
        # A damaged or hijacked worker: its answer is not used. Let it end by itself for its code.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        return None


def _read_header(stream: IO[bytes]) -> dict[str, Any]:
    (length,) = struct.unpack(">I", stream.read(4))
    if length > _MAX_HEADER:
        raise ValueError("header too long")
    header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise TypeError("header is no object")
    return header


def _refusal(header: dict[str, Any]) -> RefusedError:
    code = header["refused"] if header["refused"] in _CODES else "decode_failed"
    return RefusedError(code, width=int(header["width"]), height=int(header["height"]))


def _read_decoded(header: dict[str, Any], stream: IO[bytes], limits: Limits) -> Decoded:
    """The worker's answer, with every value checked again on this side."""
    width, height = int(header["width"]), int(header["height"])
    if min(width, height) < 1 or width * height > limits.max_pixels:
        raise ValueError("grid out of bounds")
    if header["format"] not in FORMATS or header["orientation"] not in range(1, 9):
        raise ValueError("unknown format or orientation")
    rgb = stream.read(width * height * 3)
    if len(rgb) != width * height * 3:
        raise ValueError("too few pixels")
    tables = header["quantization"]
    return Decoded(
        format=header["format"],
        width=width,
        height=height,
        orientation=header["orientation"],
        rgb=rgb,
        quantization={int(k): [int(q) for q in v] for k, v in tables.items()} if tables else None,
        notices=[(str(code), str(message)) for code, message in header["notices"]],
        fields={str(name): str(value) for name, value in header["fields"].items()},
    )


def _code_of_exit(returncode: int) -> str:
    """What a worker that gave no answer died of."""
    if os.name == "posix" and returncode == -signal.SIGXCPU:
        return "decode_timeout"
    if os.name == "posix" and returncode == -signal.SIGKILL:
        return "decode_memory"
    return "decode_failed"
