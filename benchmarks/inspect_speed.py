"""Time of the features, and of the whole process of `vlmf inspect`.

python benchmarks/inspect_speed.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RUNS = 5


def picture(height: int, width: int) -> np.ndarray:
    """Cloudy colours with noise: textured everywhere, as a photograph is."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 24, width // 24, 3), np.uint8)
    large = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(large + rng.normal(0, 4, large.shape), 0, 255).astype(np.uint8)


def feature_times(rgb: np.ndarray) -> dict[str, float]:
    """Median seconds of each feature."""
    from vlm_forensics import features
    from vlm_forensics.features.base import PixelArray

    image, result = PixelArray(rgb), {}
    for feature in features.all_features():
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            feature.measure(image)
            times.append(time.perf_counter() - start)
        result[feature.name] = float(np.median(times))
    return result


def process_time(rgb: np.ndarray) -> float:
    """Median seconds of `vlmf inspect` on the picture as JPEG, start of Python included."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(rgb).save(Path(folder) / "photo.jpg", quality=92)
        command = [sys.executable, "-m", "vlm_forensics.cli", "inspect", "photo.jpg"]
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
            times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Print a table for 12 MP and for 256 x 256, with the targets."""
    small, large = feature_times(picture(256, 256)), feature_times(picture(3000, 4000))
    print(f"{'feature':20}{'256x256 ms':>12}{'12 MP ms':>12}")
    for name in small:
        print(f"{name:20}{small[name] * 1e3:12.1f}{large[name] * 1e3:12.1f}")
    totals = sum(small.values()), sum(large.values())
    print(f"{'all':20}{totals[0] * 1e3:12.1f}{totals[1] * 1e3:12.1f}   (targets 250 and 2000)")
    print(f"vlmf inspect, 12 MP JPEG, whole process: {process_time(picture(3000, 4000)):.2f} s "
          "(target 3)")  # fmt: skip


if __name__ == "__main__":
    main()
