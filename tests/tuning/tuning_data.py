"""Tiny data and what a calibrated detector has beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from vlm_forensics.calibration import Calibration
from vlm_forensics.features.reference import LEVELS, Reference

CALIBRATION = Calibration(
    id="test", temperature=1.0, bias=(0.0, 0.0, 0.0), abstain_low=0.2, abstain_high=0.8,
    mask_threshold=0.5,
)  # fmt: skip
REFERENCE = Reference({"noise_level.log2_ratio": (0.0,) * len(LEVELS)}, 5)


def write_pictures(root: Path, seed: int, reals: int = 2) -> None:
    """An image folder: real pictures, two synthetic ones, two tampered ones with masks."""
    rng = np.random.default_rng(seed)
    folder = root / "train"
    folder.mkdir(parents=True)
    rows = []
    labels = ["real", "synthetic", "tampered"] * 2 + ["real"] * (reals - 2)
    for n, label in enumerate(labels):
        row = {"file_name": f"{n}.png", "label": label}
        pixels = rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)
        if label == "tampered":
            mask = np.zeros((96, 96), np.uint8)
            mask[20:60, 10:70] = 255
            pixels[mask > 0] = 128
            Image.fromarray(mask).save(folder / f"{n}_mask.png")
            row |= {"mask_file_name": f"{n}_mask.png", "operation": "splice"}
        Image.fromarray(pixels).save(folder / f"{n}.png")
        rows.append(row)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(lines, encoding="utf-8")
