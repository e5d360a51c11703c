"""Time and memory of whole command-line processes on a 12-megapixel photograph, beside the budget.

python benchmarks/explain_speed.py [--model vlmf-mini] [--runs 5]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without installation

from vlm_forensics.evaluation.metrics import markdown

LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
null = subprocess.DEVNULL
process = subprocess.Popen(sys.argv[1:], stdout=null, stderr=null)
_, status, used = os.wait4(process.pid, 0)
wall = time.perf_counter() - start
print(json.dumps([status, wall, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""Starts and measures one process. Linux counts the memory of whoever forked it into a process's
peak, so the one that forks must be small."""


class Command(NamedTuple):
    """What is run, and what it may cost."""

    name: str
    arguments: tuple[str, ...]
    budget: str


class Cost(NamedTuple):
    """What one process took."""

    wall: float
    cpu: float
    megabytes: float


def photograph(path: Path) -> None:
    """A 4000 × 3000 JPEG: a photograph of scikit-image, enlarged, with sensor-like noise."""
    from skimage import data

    large = cv2.resize(data.coffee(), (4000, 3000), interpolation=cv2.INTER_CUBIC)
    noisy = large + np.random.default_rng(0).normal(0, 3, large.shape).astype(np.float32)
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=92)


def commands(model: str) -> list[Command]:
    """The four commands of the budget."""
    explain = ("explain", "photo.jpg", "--model", model)
    return [
        Command("vlmf explain", explain, "15 s, 2500 MB"),
        Command("vlmf explain --no-rationale", (*explain, "--no-rationale"), "4 s"),
        Command("vlmf inspect", ("inspect", "photo.jpg"), "3 s"),
        Command("vlmf --help", ("--help",), "0.3 s"),
    ]


def cost(arguments: tuple[str, ...], folder: Path) -> Cost:
    """Runs the command once.

    Processor time is summed over the process and its decoding worker; memory is the largest of
    the two, for their peaks do not coincide.
    """
    environment = {**os.environ, "PYTHONPATH": sys.path[0]}
    command = [sys.executable, "-m", "vlm_forensics.cli", *arguments]
    launched = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, *command],
        cwd=folder, env=environment, stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    status, wall, cpu, peak = json.loads(launched.stdout)
    if status:
        raise SystemExit(f"vlmf {' '.join(arguments)} failed")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux kilobytes
    return Cost(wall, cpu, peak / unit)


def main(argv: list[str] | None = None) -> None:
    """Warms every command up once, then prints the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="vlmf-mini")
    parser.add_argument("--runs", type=int, default=5)
    run = parser.parse_args(argv)
    model = str(Path(run.model).resolve()) if Path(run.model).is_dir() else run.model
    rows = []
    with tempfile.TemporaryDirectory() as name:
        photograph(Path(name) / "photo.jpg")
        for command in commands(model):
            cost(command.arguments, Path(name))
            taken = [cost(command.arguments, Path(name)) for _ in range(run.runs)]
            wall, cpu, memory = (median(column) for column in zip(*taken, strict=True))
            rows.append(
                (command.name, f"{wall:.2f}", f"{cpu:.2f}", f"{memory:.0f}", command.budget)
            )
    print(markdown(("command", "seconds", "CPU seconds", "peak MB", "budget"), rows))
    print(f"\nMedians of {run.runs} runs after one warm-up, 4000 × 3000 JPEG; "
          f"{os.cpu_count()} cores ({platform.machine()}), load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}.")  # fmt: skip


if __name__ == "__main__":
    main()
