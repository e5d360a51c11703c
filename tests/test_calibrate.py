"""`vlmf calibrate`, and pictures compared with the photographs it measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlm_forensics import assembly, cli
from vlm_forensics.decoding import decode
from vlm_forensics.errors import InputError, WeightsError
from vlm_forensics.features.base import PixelArray
from vlm_forensics.fitting import reals as fitting
from vlm_forensics.image import EvidenceImage
from vlm_forensics.training_free import SCORES, Standing, TrainingFree, meter
from vlm_forensics.training_free.measured import Measured
from vlm_forensics.training_free.meter import Meter
from vlm_forensics.training_free.reals import (
    ALLOWED,
    LEAST,
    Reals,
    clopper_pearson,
    combined,
    p_value,
)
from vlm_forensics.training_free.scores import Material
from vlm_forensics.weights import cache_folder

COUNT = 40


def flat(level: int, side: int = 48) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Scores that are known: the brightness, and the same from the other side. Returns a log."""
    log: list[float] = []

    def measured(material: Material) -> dict[str, float]:
        log.append(float(material.pixels.rgb.mean()))
        return {"resampling": log[-1], "npr": 255 - log[-1]}

    def missing(*_: object, **__: object) -> Path:
        raise WeightsError("weights_missing", "the weights are not here")

    monkeypatch.setattr(meter, "measured", measured)
    monkeypatch.setattr(assembly, "model_folder", missing)
    monkeypatch.setattr("vlm_forensics.image.decode_isolated", decode)  # no process per picture
    return log


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for n in range(COUNT):
        Image.fromarray(flat(60 + n)).save(folder / ("deeper" if n % 2 else "") / f"{n}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def vlmf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["vlmf", "calibrate", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capfd.readouterr()
        return int(left.value.code or 0), out, err

    return run


def test_the_command_writes_what_it_prints(
    photos: Path, tmp_path: Path, vlmf: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = vlmf("--reals", photos)
    assert code == 0
    assert "left out: 1 unsupported_format" in err
    assert f"2 scores on {COUNT} photographs" in out
    found = Reals.load(tmp_path / "vlmf-reals.json")
    assert found.skipped == {"unsupported_format": 1}
    assert len(set(found.sha256)) == COUNT
    assert found.settings["encoder"] == ""
    one = found.scores["resampling"]
    assert f"> {one.threshold:<10.4g} {one.flagged} of {COUNT}" in out
    assert one.flagged / COUNT <= ALLOWED
    assert sum(value > one.threshold for value in one.values) == one.flagged == 1
    assert sum(v < found.scores["npr"].threshold for v in found.scores["npr"].values) == 1
    assert one.interval == clopper_pearson(1, COUNT)
    assert one.quantiles == tuple(sorted(one.quantiles))


def test_a_second_run_measures_nothing_and_says_the_same(
    photos: Path, tmp_path: Path, quick: list[float]
) -> None:
    first = fitting.calibrate(photos, tmp_path / "a.json")
    assert len(quick) == COUNT
    again = fitting.calibrate(photos, tmp_path / "a.json")
    assert len(quick) == COUNT
    assert again.model_copy(update={"created": first.created}) == first


def test_an_interrupted_run_goes_on(photos: Path, tmp_path: Path, quick: list[float]) -> None:
    fitting.calibrate(photos, tmp_path / "a.json")
    (kept,) = (cache_folder() / "training-free").glob("*.jsonl")
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join([*lines[:10], lines[10][:20]]))
    fitting.calibrate(photos, tmp_path / "b.json")
    assert len(quick) == COUNT + COUNT - 10


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.exit_code == 3
    return caught.value.code


def test_bad_folders_are_typed(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert refused(lambda: fitting.calibrate(tmp_path / "none", out)) == "not_found"
    (tmp_path / "empty").mkdir()
    assert refused(lambda: fitting.calibrate(tmp_path / "empty", out)) == "empty_folder"
    for path in sorted(photos.rglob("*.png"))[LEAST - 1 :]:
        path.write_bytes(b"broken" + path.name.encode())
    assert refused(lambda: fitting.calibrate(photos, out)) == "too_few_images"
    assert not out.exists()


def test_only_a_calibration_is_replaced(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "diary.json"
    out.write_text("{}")
    assert refused(lambda: fitting.calibrate(photos, out)) == "output_conflict"
    assert out.read_text() == "{}"


@pytest.fixture
def calibration(photos: Path, tmp_path: Path) -> Path:
    out = tmp_path / "reals.json"
    fitting.calibrate(photos, out)
    return out


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": "2.0"}, {"kind": "other"}, {"extra": 1}, {"scores": {}},
        {"allowed": 0.5}, {"sha256": []}, {"skipped": {"x": "1"}},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_file_of_another_form_is_refused(calibration: Path, change: dict[str, Any]) -> None:
    content = json.loads(calibration.read_text()) | change
    calibration.write_text(json.dumps(content))
    assert refused(lambda: TrainingFree.load(calibration)) == "bad_calibration"


def test_damaged_values_are_refused(calibration: Path) -> None:
    text = calibration.read_text()
    content = json.loads(text)
    content["scores"]["npr"]["values"].pop()
    calibration.write_text(json.dumps(content))
    assert refused(lambda: TrainingFree.load(calibration)) == "bad_calibration"
    content = json.loads(text)
    content["scores"]["npr"]["values"][0] = float("nan")
    calibration.write_text(json.dumps(content))
    assert refused(lambda: TrainingFree.load(calibration)) == "bad_calibration"
    calibration.write_text(text.replace('"npr"', '"astrology"'))
    assert refused(lambda: TrainingFree.load(calibration)) == "bad_calibration"
    calibration.write_text("no json")
    assert refused(lambda: TrainingFree.load(calibration)) == "bad_calibration"
    assert refused(lambda: TrainingFree.load(calibration.parent)) == "unreadable"
    assert refused(lambda: TrainingFree.load(calibration.parent / "x.json")) == "not_found"


def test_numbers_of_other_settings_are_not_compared(calibration: Path) -> None:
    content = json.loads(calibration.read_text())
    content["settings"]["encoder"] = "another"  # and none is here: RIGID would be left out
    calibration.write_text(json.dumps(content))
    TrainingFree.load(calibration)
    content["settings"]["picture"] = "as it is"
    calibration.write_text(json.dumps(content))
    assert refused(lambda: TrainingFree.load(calibration)) == "calibration_mismatch"


def test_standing_and_evidence(calibration: Path, tmp_path: Path) -> None:
    rule = TrainingFree.load(calibration)
    usual = rule.assess(PixelArray(flat(75)))
    assert usual.standing is Standing.REAL_LIKE
    assert not any(item.unusual for item in usual.evidence())
    Image.fromarray(flat(200)).save(tmp_path / "bright.png")
    image = EvidenceImage.open(tmp_path / "bright.png")
    bright = rule.assess(image)
    assert bright.standing is Standing.UNUSUAL
    assert bright.p_value == pytest.approx(1 / (COUNT + 1))
    assert bright.notice.code == "training_free_unusual"
    observed = rule.evidence(image)
    assert observed == bright.evidence()
    assert [item.id for item in observed] == ["t1", "t2", "t3"]
    assert {item.source for item in observed} == {
        "training_free:npr", "training_free:resampling", "training_free:combined"}  # fmt: skip
    assert all(item.unusual for item in observed)
    text = next(item.text for item in observed if item.source.endswith("resampling"))
    assert f"above 100% of {COUNT} real photographs" in text
    assert "weak, AUC" in text


def test_brightness_on_the_other_side_is_not_flagged(calibration: Path) -> None:
    dark = TrainingFree.load(calibration).assess(PixelArray(flat(5)))
    assert not any(finding.flagged for finding in dark.findings)
    assert dark.p_value == 1


def test_one_flag_among_several_scores_is_no_accusation(calibration: Path) -> None:
    found = TrainingFree.load(calibration).compare({"resampling": 250.0, "npr": 254.0})
    assert [finding.flagged for finding in found.findings] == [False, True]
    assert found.standing is Standing.UNKNOWN


def test_nothing_measured_is_unknown(calibration: Path) -> None:
    found = TrainingFree.load(calibration).compare({"rigid": 0.1})
    assert (found.standing, found.p_value, found.evidence()) == (Standing.UNKNOWN, None, [])


def test_p_values_keep_their_promise_whatever_the_scores_share() -> None:
    """Of pictures like the reals at most 5 % are called unusual, with eleven dependent scores."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 11))
    drawn = rng.standard_t(2, (3000, 41, 3)) @ mixing
    drawn[..., -1] = np.maximum(drawn[..., -1], 0).round()  # ties, as counts have
    jointly = [combined(rows[:-1], rows[-1]) for rows in drawn]
    alone = [p_value(rows[:-1, 0], rows[-1, 0]) for rows in drawn]
    assert 0.03 < np.mean(np.less_equal(jointly, ALLOWED)) < 0.062
    assert 0.03 < np.mean(np.less_equal(alone, ALLOWED)) < 0.062
    shifted = [combined(rows[:-1], rows[-1] + 8) for rows in drawn[:300]]
    assert np.mean(np.less_equal(shifted, ALLOWED)) > 0.3


def test_scores_that_most_photographs_lack_are_left_out() -> None:
    rows = {f"{n:064x}": {"npr": float(n)} | ({"srm": 1.0} if n < 5 else {}) for n in range(40)}
    rows["f" * 64] = {"srm": 2.0}
    found = fitting.summed_up(rows, Meter(None).settings(), {"truncated": 2})
    assert found.scores.keys() == {"npr"}
    assert found.skipped == {"not_measured": 1, "truncated": 2}


def test_shipped_figures_cover_every_score() -> None:
    found = Measured.load()
    assert [split.name for split in found.splits] == ["val", "test"]
    assert all(found.of(score) for score in SCORES)
