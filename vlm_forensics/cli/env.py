"""`vlmf env`: what a bug report needs, gathered without importing anything heavy here."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.util import find_spec
from typing import Annotated, Any

import typer

PACKAGES = ("torch", "transformers", "peft", "accelerate", "huggingface-hub", "safetensors",
            "numpy", "pillow", "opencv-python-headless", "gguf", "onnx", "trl", "datasets",
            "gradio", "bitsandbytes")  # fmt: skip
PROBE_TIMEOUT_S = 60

EPILOG = """\b
Examples:
  vlmf env
  vlmf env --json
"""
_DEVICE_PROBE = """
import json, torch
cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(json.dumps({"cuda": cuda, "mps": torch.backends.mps.is_available(),
                  "torch_threads": torch.get_num_threads()}))
"""


def env(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show versions, devices, threads, the weights cache and known breakages."""
    facts = gather()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            typer.echo(f"{key}:")
            for inner, text in value.items():
                typer.echo(f"  {inner}: {_shown(text)}")
        else:
            typer.echo(f"{key}: {_shown(value)}")


def gather() -> dict[str, Any]:
    """All facts, JSON-serialisable; a package that is not installed is None."""
    import vlm_forensics

    return {
        "vlm_forensics": vlm_forensics.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": _devices(),
        "threads": _threads(),
        "cache": _cache(),
        "torchvision": _torchvision(),
    }


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _probe(code: str) -> tuple[str, str]:
    """Output and last error line of a Python child; a broken driver may kill it, not us."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer in {PROBE_TIMEOUT_S} s"
    lines = done.stderr.strip().splitlines()
    if done.returncode == 0:
        return done.stdout.strip(), ""
    return "", lines[-1] if lines else f"ended with status {done.returncode}"


def _devices() -> dict[str, Any]:
    """What torch can compute on."""
    output, error = _probe(_DEVICE_PROBE)
    if error:
        return {"error": f"torch cannot be used: {error}"}
    found: dict[str, Any] = json.loads(output)
    return found


def _threads() -> dict[str, Any]:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return {
        "cpus": os.cpu_count(),
        "usable_cpus": len(affinity(0)) if affinity else os.cpu_count(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY"),
    }


def _cache() -> dict[str, Any]:
    from vlm_forensics import weights

    folder = weights.cache_folder()
    return {
        "folder": str(folder),
        "bytes": weights.folder_bytes(folder),
        "cached": [name for name in weights.NAMES if weights.cached_folder(name)],
        "offline": weights.offline_asked(),
    }


def _torchvision() -> dict[str, str]:
    """A torchvision built for another torch stops transformers, peft and trl from importing."""
    if find_spec("torchvision") is None:
        return {"state": "absent (not needed)"}
    _, error = _probe("import torchvision")
    if not error:
        return {"state": "works (not needed)"}
    return {"state": "broken", "error": error, "hint": "pip uninstall torchvision"}


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
