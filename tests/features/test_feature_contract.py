"""Every feature keeps the contract of `features.base`, on every kind of image."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from vlm_forensics import features
from vlm_forensics.features import base
from vlm_forensics.features._sampling import number
from vlm_forensics.features.base import Feature, Measurement, PixelArray, Pixels

TEXTS = ("title", "detects", "look_for", "ignore", "caution")
NAMES = {
    "npr", "dwt_hh", "srm", "ela", "jpeg_quantisation", "jpeg_ghost", "noise_level", "resampling",
    "copy_move", "texture",
}  # fmt: skip


def _random(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


IMAGES = {
    "smallest": _random(32, 32),
    "odd": _random(33, 45),
    "strip": _random(32, 700),
    "tall": _random(301, 40),
    "black": np.zeros((64, 64, 3), np.uint8),
    "white": np.full((97, 130, 3), 255, np.uint8),
    "photograph": data.astronaut()[:257, :301],
    "large": np.tile(_random(300, 400), (5, 6, 1)),
}


@pytest.fixture(params=features.names())
def feature(request: pytest.FixtureRequest) -> Feature:
    return features.get(request.param)


def test_names_are_the_ten_features() -> None:
    assert set(features.names()) == NAMES
    assert [found.name for found in features.all_features()] == list(features.names())


def test_texts_are_filled_and_differ(feature: Feature) -> None:
    texts = [getattr(feature, field) for field in TEXTS]
    assert all(len(text) > 5 for text in texts)
    assert len(set(texts)) == len(texts)
    assert all(text.endswith(".") for text in texts[1:])
    assert feature.family in base.Family.__args__


@pytest.mark.parametrize("kind", IMAGES)
def test_measures_every_image(feature: Feature, kind: str) -> None:
    rgb = IMAGES[kind]
    before = rgb.copy()
    found = feature.measure(PixelArray(rgb))
    assert np.array_equal(rgb, before)
    assert found.feature == feature.name
    assert found.values
    assert all(type(value) is float and math.isfinite(value) for value in found.values.values())
    assert number(next(iter(found.values.values()))) in found.text
    _check_map(found)
    for x0, y0, x1, y1 in found.boxes:
        assert 0 <= x0 < x1 <= rgb.shape[1]
        assert 0 <= y0 < y1 <= rgb.shape[0]


def _check_map(found: Measurement) -> None:
    assert found.map is not None
    assert found.map.dtype == np.float32
    assert found.map.ndim == 2
    assert max(found.map.shape) <= 512
    assert np.isfinite(found.map).all()
    assert (found.map >= 0).all()


def test_same_answer_twice_and_on_read_only_pixels(feature: Feature) -> None:
    rgb = data.coffee()[:200, :240].copy()
    first = feature.measure(PixelArray(rgb))
    rgb.flags.writeable = False
    second = feature.measure(PixelArray(rgb))
    assert first.values == second.values
    assert first.boxes == second.boxes
    assert np.array_equal(first.map, second.map)


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_maps_cover_the_corners(feature: Feature, corner: tuple[int, int]) -> None:
    """Noise in one corner of a flat image must show in that corner of the map."""
    if feature.name in {"copy_move", "jpeg_ghost", "jpeg_quantisation", "resampling"}:
        pytest.skip("does not respond to noise")
    size = 1531, 2013
    rgb = np.full((*size, 3), 120, np.uint8)
    rows, cols = (slice(-200, None) if end else slice(200) for end in corner)
    rgb[rows, cols] = _random(200, 200)
    response = feature.measure(PixelArray(rgb)).map
    assert response is not None
    assert response[-corner[0], -corner[1]] > 10 * np.median(response) + 0.1


def test_unknown_names_are_refused() -> None:
    with pytest.raises(KeyError, match="no feature is called 'nprr'"):
        features.measure_all(PixelArray(IMAGES["odd"]), ["nprr"])


def test_measure_all_keeps_the_order_asked_for() -> None:
    assert list(features.measure_all(PixelArray(IMAGES["odd"]), ["srm", "ela"])) == ["srm", "ela"]


def test_a_failing_feature_is_reported_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_self: Feature, _image: Pixels) -> Measurement:
        raise MemoryError("boom")

    monkeypatch.setattr(type(features.get("ela")), "measure", fail)
    found = features.measure_all(PixelArray(IMAGES["odd"]))
    assert found["ela"].values == {}
    assert found["ela"].map is None
    assert "MemoryError" in found["ela"].caveats[0]
    assert all(found[name].values for name in NAMES - {"ela"})


def test_documentation_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == features.as_markdown()


def test_measuring_and_judging_import_no_scipy() -> None:
    code = ("import sys, vlm_forensics.calibration; from vlm_forensics import features; "
            "features.all_features(); sys.exit('scipy' in sys.modules)")  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
