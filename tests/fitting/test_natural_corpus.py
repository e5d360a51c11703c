"""What the probe is fitted on: one view of every real or generated picture, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlm_forensics.datasets.equalise import SIDE
from vlm_forensics.fitting import recipe
from vlm_forensics.fitting.views import Views

CONFIG: dict[str, Any] = {
    "seed": 0, "views": {"per_image": 2}, "leave_out": ["unfit"], "probe": {"qualities": [70, 98]},
}  # fmt: skip


def test_first_views_of_natural_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        ("real", "a", "a/1"), ("real", "a", "a/1"), ("synthetic", "b", "b/1"),
        ("tampered", "b", "b/2"), ("real", "unfit", "u/1"), ("synthetic", "b", "b/3"),
    ]  # fmt: skip
    label, source, image = (np.array(column) for column in zip(*rows, strict=True))
    draw = np.random.default_rng(0)
    cut = Views(
        draw.integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8), np.zeros((6, SIDE, SIDE), bool),
        label, source, image, np.zeros(6, bool), np.full(6, ""),
    )  # fmt: skip
    monkeypatch.setattr(recipe, "split_views", lambda *_: cut)
    found = recipe.natural_corpus([], tmp_path, CONFIG)
    assert found.image.tolist() == ["a/1", "b/1", "b/3"]
    assert found.classes.tolist() == [0, 1, 1]
    assert ((found.quality >= 70) & (found.quality < 98)).all()
    again = recipe.natural_corpus([], tmp_path, CONFIG | {"seed": 1})  # kept, not made again
    assert (again.quality == found.quality).all()
