"""Tiny data and tiny models with everything that a run starts from."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import model_of, save
from tuning_data import CALIBRATION, REFERENCE, write_pictures


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("pictures")
    for seed, part in enumerate(("train", "val")):
        write_pictures(root / part, seed)
    return lambda part: root / part


@pytest.fixture(scope="session")
def noise() -> bytes:
    """A picture file of random pixels."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 256, (128, 160, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete folder of ours, with a detector that is calibrated and knows nothing."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save(model_of(), folder)
    CALIBRATION.save(folder / "calibration.json")
    REFERENCE.save(folder / "reference.json")
    return folder
