"""Tiny data and tiny models with everything that a run starts from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import model_of, save

from vlm_forensics.calibration import Calibration
from vlm_forensics.features.reference import LEVELS, Reference

CALIBRATION = Calibration(
    id="test", temperature=1.0, bias=(0.0, 0.0, 0.0), abstain_low=0.2, abstain_high=0.8,
    mask_threshold=0.5,
)  # fmt: skip
REFERENCE = Reference({"noise_level.log2_ratio": (0.0,) * len(LEVELS)}, 5)


def write_pictures(root: Path, seed: int, each: int = 2) -> None:
    """An image folder with `each` pictures of every class; every tampered one has a mask."""
    rng = np.random.default_rng(seed)
    folder = root / "train"
    folder.mkdir(parents=True)
    rows = []
    for n in range(3 * each):
        label = ("real", "synthetic", "tampered")[n % 3]
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


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("pictures")
    for seed, part in enumerate(("train", "val")):
        write_pictures(root / part, seed)
    return lambda part: root / part


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete folder of ours, with a detector that is calibrated and knows nothing."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save(model_of(), folder)
    CALIBRATION.save(folder / "calibration.json")
    REFERENCE.save(folder / "reference.json")
    return folder
