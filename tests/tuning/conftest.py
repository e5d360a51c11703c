"""Tiny data and tiny models with everything that a run starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import model_of, save
from tuning_data import CALIBRATION, REFERENCE, write_pictures


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
