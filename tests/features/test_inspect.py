"""`vlmf inspect` and the contact sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from skimage import data
from typer.testing import CliRunner, Result

from vlm_forensics import features
from vlm_forensics.cli.inspect import inspect
from vlm_forensics.exporting.contact_sheet import contact_sheet, headline
from vlm_forensics.features.base import Measurement, PixelArray


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a photo.jpg"
    Image.fromarray(data.chelsea()).save(path, quality=83)
    return path


def run(*words: object) -> Result:
    app = typer.Typer()
    app.command()(inspect)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_json_holds_every_feature_and_the_sheet_is_written(photo: Path) -> None:
    result = run(photo, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found["features"]) == set(features.names())
    assert found["features"]["jpeg_quantisation"]["values"]["quality"] == 83
    assert found["image"]["format"] == "JPEG"
    assert "a_photo.inspect.png" in result.stderr
    with Image.open("a_photo.inspect.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 500


def test_table_names_titles_and_numbers(photo: Path) -> None:
    plain = run(photo, "--features", "ela,jpeg_quantisation", "--output", "x.png")
    assert "JPEG quality 83" in plain.stdout
    assert features.get("ela").title in plain.stdout
    assert features.get("npr").title not in plain.stdout
    assert "look for" not in plain.stdout
    assert Path("x.png").is_file()
    verbose = run(photo, "--features", "ela", "--verbose").stdout
    assert all(word in verbose for word in ("look for:", "ignore:", "caution:"))


@pytest.mark.parametrize(("names", "hint"), [("elaa", "did you mean ela"), (",", "name some")])
def test_wrong_features_are_a_usage_error(photo: Path, names: str, hint: str) -> None:
    result = run(photo, "--features", names)
    assert result.exit_code == 2
    assert hint in " ".join(result.stderr.replace("│", "").split())


def test_sheet_turns_with_the_picture_and_survives_a_failed_feature() -> None:
    rgb = data.rocket()[:, :300]
    found = features.measure_all(PixelArray(np.ascontiguousarray(rgb)), ["npr"])
    found["ela"] = Measurement("ela", {}, "could not be measured")
    upright, turned = (contact_sheet(rgb, found, orientation=turn) for turn in (1, 6))
    assert upright.shape[0] > turned.shape[0]
    assert headline(found["ela"]) == "- not measured"
    assert headline(found["npr"]).startswith("mean ")


def test_an_even_map_is_not_stretched() -> None:
    rgb = np.full((64, 64, 3), 90, np.uint8)
    almost = np.zeros((8, 8), np.float32)
    almost[2, 2] = 0.003
    sheets = [contact_sheet(rgb, {"ela": Measurement("ela", {"mean": 0.0}, "0", response)})
              for response in (almost, np.zeros((8, 8), np.float32))]  # fmt: skip
    difference = np.abs(sheets[0].astype(int) - sheets[1])
    assert difference[40:380].max() < 60
