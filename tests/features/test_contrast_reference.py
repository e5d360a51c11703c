"""Contrast inside a mask, and what counts as unusual."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vlm_forensics.features.base import Measurement
from vlm_forensics.features.contrast import contrast
from vlm_forensics.features.reference import Reference, fit_reference


def _measurement(response: np.ndarray | None) -> dict[str, Measurement]:
    return {"some": Measurement("some", {"x": 1.0}, "1", response)}


def _two_levels(inside: float, outside: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    response = rng.normal(outside, spread, (32, 32)).astype(np.float32)
    response[8:16, 8:16] = rng.normal(inside, spread, (8, 8))
    mask = np.zeros((256, 256), bool)
    mask[64:128, 64:128] = True
    return np.maximum(response, 0), mask


def test_known_levels() -> None:
    response, mask = _two_levels(2, 5, 0.1)
    found = contrast(_measurement(response), mask)["some"]
    assert found.inside == pytest.approx(2, abs=0.05)
    assert found.outside == pytest.approx(5, abs=0.05)
    assert found.log2_ratio == pytest.approx(np.log2(2 / 5), abs=0.05)
    assert found.effect == pytest.approx(-30, rel=0.1)
    assert found.cells == 64


def test_a_few_wild_cells_do_not_matter() -> None:
    response, mask = _two_levels(2, 5, 0.1)
    response[8, 8:12] = 1000
    assert contrast(_measurement(response), mask)["some"].inside == pytest.approx(2, abs=0.1)


def test_equal_maps_have_no_contrast() -> None:
    _, mask = _two_levels(1, 1, 0)
    found = contrast(_measurement(np.zeros((32, 32), np.float32)), mask)["some"]
    assert (found.log2_ratio, found.effect) == (0, 0)


def test_mask_smaller_than_a_cell() -> None:
    response = np.ones((16, 16), np.float32)
    response[3, 3] = 9
    mask = np.zeros((256, 256), bool)
    mask[52:60, 52:60] = True
    assert contrast(_measurement(response), mask)["some"][:2] == (9, 1)


@pytest.mark.parametrize("value", [False, True])
def test_no_other_side_no_contrast(value: bool) -> None:
    mask = np.full((64, 64), value)
    assert contrast(_measurement(np.ones((8, 8), np.float32)), mask) == {}
    assert contrast(_measurement(None), mask) == {}


def test_reference_round_trip_and_range(tmp_path: Path) -> None:
    rows = [{"npr.mean": float(value), "srm.mean": 1.0} for value in range(1001)]
    rows[0].pop("srm.mean")
    reference = fit_reference(rows)
    assert not reference.unusual("npr.mean", 10.0)
    assert not reference.unusual("npr.mean", 990.0)
    assert reference.unusual("npr.mean", 9.9)
    assert reference.unusual("npr.mean", 990.1)
    assert not reference.unusual("unknown", 1e9)
    reference.save(tmp_path / "r.json")
    assert Reference.load(tmp_path / "r.json") == reference


def test_bad_references_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        fit_reference([])
    with pytest.raises(ValueError, match="not finite"):
        fit_reference([{"a": float("nan")}])
    (tmp_path / "r.json").write_text('{"levels": [0.5]}')
    with pytest.raises(ValueError, match="not a reference"):
        Reference.load(tmp_path / "r.json")
