"""Images a second of `vlmf data forge`, by operation, at 1 megapixel.

Each sample is read, forged, post-processed, measured, annotated and written, as in a real run.
Operations whose network is missing (VLMF_FORGE_WEIGHTS) are named and left out. With --jobs 1 the
processor seconds of an image stand beside, which other work on the machine hardly changes.

python benchmarks/forge_speed.py [--photos DIR] [--n 12] [--jobs 2] [--ops splice,blending]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without installation

from vlm_forensics.errors import VlmfError
from vlm_forensics.forge import all_operations, get, networks
from vlm_forensics.forge.dataset import writer
from vlm_forensics.forge.dataset.sample import Settings
from vlm_forensics.taxonomy import Operation

PIXELS = 1_000_000
TARGET = 5.0
WARM = 4
"""Samples made before the clock starts: processes load their modules and networks."""


def picture(seed: int) -> np.ndarray:
    """1155 x 866: soft colour fields, discs and grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 230, (9, 12, 3), np.uint8)
    image = cv2.resize(coarse, (1155, 866), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        centre = int(rng.integers(100, 1050)), int(rng.integers(100, 760))
        colour = tuple(map(float, rng.integers(0, 256, 3)))
        cv2.circle(image, centre, int(rng.integers(40, 160)), colour, cv2.FILLED, cv2.LINE_AA)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


class Speed(NamedTuple):
    """How fast samples come once the processes run."""

    rate: float
    """Samples a second."""
    cpu: float | None
    """Processor seconds of one, where this process makes them itself."""


def speed(photos: Path, operation: Operation, count: int, jobs: int) -> Speed:
    """Makes some samples, then `count` against the clock."""
    settings = Settings(0, (operation,), 0.0, PIXELS, False, "none")
    warm, clock = WARM * jobs, []
    with tempfile.TemporaryDirectory() as out:
        writer.write(
            photos, Path(out), settings, count + warm, jobs=jobs,
            on_progress=lambda *_: clock.append((time.perf_counter(), time.process_time())),
        )  # fmt: skip
    wall, cpu = (end - start for start, end in zip(clock[warm], clock[-1], strict=True))
    return Speed(count / wall, cpu / count if jobs == 1 else None)


def main() -> None:
    """Print a row per operation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="photographs of your own [made here]")
    parser.add_argument("--n", type=int, default=12, help="timed samples per operation")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--ops", default="", help="only these, separated by commas")
    asked = parser.parse_args()
    wanted = [Operation(name) for name in asked.ops.split(",") if name]
    with tempfile.TemporaryDirectory() as made:
        if asked.photos is None:
            for seed in range(8):
                Image.fromarray(picture(seed)).save(Path(made) / f"{seed}.jpg", quality=92)
        print(f"images/s at 1 MP, {asked.jobs} processes, n={asked.n} (target {TARGET:g} "
              f"where no network is needed), load {os.getloadavg()[0]:.1f}")  # fmt: skip
        for member in all_operations():
            if not wanted or member.operation in wanted:
                report(asked.photos or Path(made), member.operation, asked.n, asked.jobs)


def report(photos: Path, operation: Operation, count: int, jobs: int) -> None:
    """One line: the rate and, from one process, its processor seconds; or why there is none."""
    network = get(operation).network
    try:
        if network:
            networks.check(network)
        found = speed(photos, operation, count, jobs)
        cpu = "" if found.cpu is None else f"{found.cpu:8.2f} CPU s"
        print(f"{operation:24}{found.rate:8.2f}{cpu}  {network or ''}")
    except VlmfError as error:
        print(f"{operation:24}       -  {error.message}")


if __name__ == "__main__":
    main()
