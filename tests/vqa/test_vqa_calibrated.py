"""A probability from answers: fitted, bound to model and words, and used in the rule's place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vqa_server import NOTHING, SIGN, Server, fails

from vlm_forensics import decoding
from vlm_forensics import image as images
from vlm_forensics.cli.verify import compare_answers
from vlm_forensics.endpoint import Access, Usage
from vlm_forensics.errors import EndpointError, InputError
from vlm_forensics.fitting import answers as fitting
from vlm_forensics.fitting.answers import ACCUSED, LEAST, Request
from vlm_forensics.image import EvidenceImage
from vlm_forensics.report import AnswerCalibration, ProbeRecord
from vlm_forensics.taxonomy import Artifact, Verdict
from vlm_forensics.vqa import calibrated
from vlm_forensics.vqa.calibrated import AnswerFile
from vlm_forensics.vqa.engines import EndpointEngine, Engine
from vlm_forensics.vqa.examiner import VqaExaminer
from vlm_forensics.vqa.pictures import Picture

SETS = ("tampering",)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "decode_isolated", decoding.decode)  # no process per picture


def engine_of(server: Server, name: str = "tiny-vlm") -> EndpointEngine:
    return EndpointEngine(server.url, name, Access(timeout=5.0, retries=0, backoff=0.0))


def record(name: str, artifact: Artifact, state: Any, confidence: float | None) -> ProbeRecord:
    return ProbeRecord(id=name, artifact=artifact, state=state, confidence=confidence, answers=())


def shares_of(rng: np.random.Generator, labels: np.ndarray, apart: float) -> np.ndarray:
    """Shares of pictures whose forgeries show more signs, the further `apart` the more."""
    signs = np.clip(rng.binomial(10, np.where(labels == 0, 0.1, 0.1 + apart)) / 10, 0, 1)
    return np.stack(
        [1 - signs, np.where(labels == 2, 0, signs), np.where(labels == 2, signs, 0)], 1
    )


# --- the numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [0.0, 0.3, 0.8])
def test_at_most_a_twentieth_of_the_reals_is_accused(apart: float) -> None:
    labels = np.repeat([0, 1, 2], [60, 40, 40])
    x = shares_of(np.random.default_rng(1), labels, apart)
    fitted, held = fitting.fit(dict.fromkeys(fitting.SURE, x), labels)
    forged = 1 - fitting._probabilities(x, fitted.scaling)[:, 0]
    assert (forged[labels == 0] >= fitted.band.high).mean() <= ACCUSED
    assert held.reals_called_forged <= ACCUSED
    assert held.auc is not None
    if apart == 0.8:
        assert held.auc > 0.95
        assert held.forged_called_forged > 0.8
    if apart == 0:
        assert held.forged_called_forged < 0.2


def test_the_confidence_that_tells_most_is_chosen() -> None:
    labels = np.repeat([0, 1], 40)
    rng = np.random.default_rng(0)
    noise, signal = shares_of(rng, labels, 0.0), shares_of(rng, labels, 0.7)
    fitted, _ = fitting.fit({0.0: noise, 0.5: noise, 0.7: signal, 0.9: noise}, labels)
    assert fitted.sure == 0.7


def test_shares_are_of_all_that_was_asked() -> None:
    generated, pasted = Artifact.GENERATOR_TEXTURE, Artifact.PASTED_OBJECT
    records = [
        record("a.a", generated, "present", 0.8), record("a.b", generated, "disputed", None),
        record("a.c", pasted, "absent", 0.9), record("a.d", pasted, "present", 0.3),
    ]  # fmt: skip
    assert calibrated.shares(records, 0.5).tolist() == [0.25, 0.5, 0.0]
    assert calibrated.shares(records, 0.0).tolist() == [0.25, 0.5, 0.5]
    assert calibrated.shares([], 0.5).tolist() == [0, 0, 0]


NUMBERS = AnswerCalibration(
    id="x", sure=0.5, temperature=0.1, bias=(0.0, 0.0, 0.0), abstain_low=0.2, abstain_high=0.8,
    counts={"real": 30, "synthetic": 30, "tampered": 0},
)  # fmt: skip


@pytest.mark.parametrize(("states", "verdict"), [
    (["absent"] * 4, Verdict.REAL),
    (["present"] * 4, Verdict.SYNTHETIC),
    (["present", "present", "absent", "absent"], Verdict.INCONCLUSIVE),
    (["unparsed"] * 4, Verdict.INCONCLUSIVE),
])  # fmt: skip
def test_probability_and_band_make_the_verdict(states: list[str], verdict: Verdict) -> None:
    sure = {"absent": 0.9, "present": 0.9}
    records = [record(f"a.{n}", Artifact.GENERATOR_TEXTURE, state, sure.get(state))
               for n, state in enumerate(states)]  # fmt: skip
    found = calibrated.probabilities(records, NUMBERS)
    judged = calibrated.judge(records, NUMBERS)
    assert (judged.by, judged.verdict) == ("calibration", verdict)
    if states[0] == "unparsed":
        assert (found, judged.code) == ({}, "unparsed")
    else:
        assert sum(found.values()) == pytest.approx(1)
        assert len(judged.probes) == (0 if verdict is Verdict.INCONCLUSIVE else 4)


# --- from pictures -------------------------------------------------------------------------------


def dataset(root: Path, count: int) -> Path:
    """Dark pictures are real and bright ones generated."""
    root.mkdir()
    rows, rng = ["path,label,split,source"], np.random.default_rng(0)
    for n in range(count):
        for label, shade in (("real", 60), ("synthetic", 200)):
            name = f"{label}_{n}.png"
            Image.fromarray(rng.integers(shade - 20, shade + 20, (64, 64, 3), np.uint8)).save(
                root / name
            )
            rows.append(f"{name},{label},val,s")
    (root / "index.csv").write_text("\n".join(rows) + "\n")
    return root


class Sighted:
    """A model that sees copies in every bright picture and nothing in a dark one."""

    device, dtype, digests, parallel = "cpu", "none", {}, 1
    usage = Usage()

    def __init__(self, name: str = "sighted") -> None:
        self.id, self.asked = name, 0

    def answer(self, question: str, picture: Picture | None) -> str:
        self.asked += 1
        assert picture is not None
        looked_for = any(words in question for words in ("same content", "mirrored", "outline"))
        return SIGN if looked_for and picture.rgb.mean() > 128 else NOTHING


@pytest.fixture
def sighted() -> Sighted:
    return Sighted()


def fit(engine: Engine, tmp_path: Path, count: int = LEAST) -> AnswerFile:
    root = tmp_path / "data"
    data = root if root.is_dir() else dataset(root, count)
    return fitting.calibrate(Request((data,), engine, SETS), tmp_path / "a.json")


def test_a_probability_is_fitted_written_used_and_derived_again(
    sighted: Sighted, tmp_path: Path
) -> None:
    found = fit(sighted, tmp_path)
    assert AnswerFile.load(tmp_path / "a.json") == found
    assert found.counts == {"real": LEAST, "synthetic": LEAST, "tampered": 0}
    assert found.held_out.auc == 1.0
    assert found.held_out.reals_called_forged == 0
    asked = sighted.asked
    assert fit(sighted, tmp_path).bias == found.bias  # answers are kept
    assert sighted.asked == asked
    examiner = VqaExaminer(sighted, sets=SETS, calibration=found)
    for shade, verdict in ((60, Verdict.REAL), (200, Verdict.SYNTHETIC)):
        picture = tmp_path / f"{shade}.png"
        Image.new("RGB", (80, 80), (shade,) * 3).save(picture)
        report = examiner.examine(EvidenceImage.open(picture)).report
        assert report.verdict is verdict
        assert report.probability == pytest.approx(1 - report.classes["real"])
        assert report.strength is not None
        assert report.vqa is not None
        assert report.vqa.stopped == "asked_all"
        assert report.model.calibration == f"answers {found.as_record().id}"
        assert "abstain_high" in report.model.thresholds
        assert {notice.code for notice in report.limits} >= {"calibrated_answers"}
        assert all(check.holds for check in compare_answers(report, report.vqa))
        other = report.model_copy(update={"probability": 0.5})
        assert not all(check.holds for check in compare_answers(other, report.vqa))


def test_another_model_other_words_and_other_sets_are_refused(
    sighted: Sighted, tmp_path: Path
) -> None:
    found = fit(sighted, tmp_path)
    words = found.model_copy(update={"digests": found.digests | {"vqa_ask.v1": "0" * 64}})
    for calibration, engine, sets, why in (
        (found, Sighted("other"), SETS, "another model"),
        (found, sighted, ("scene",), "other probe sets"),
        (found, sighted, None, "other probe sets"),
        (words, sighted, SETS, "other words: vqa_ask.v1"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=why) as caught:
            VqaExaminer(engine, sets=sets, calibration=calibration)
        assert caught.value.code == "calibration_mismatch"


@pytest.mark.parametrize("change", [
    {"temperature": 0}, {"temperature": "1"}, {"abstain_low": 2.0}, {"extra": 1}, {"kind": "x"},
    {"counts": {"real": 1}}, {"method": "shares-of-states-0"},
])  # fmt: skip
def test_a_file_that_is_not_right_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    content = json.loads(CONTENT) | change
    (tmp_path / "b.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        AnswerFile.load(tmp_path / "b.json")
    assert caught.value.code == "bad_calibration"


CONTENT = json.dumps({
    "package": "0", "created": "2026-01-01T00:00:00Z", "engine": "e", "sets": None, "digests": {},
    "longest": 1024, "view": "equalised", "data": ["d"], "split": "val", "pictures": ["a", "b"],
    "skipped": {}, "sure": 0.5, "temperature": 1.0, "bias": [0.0, 0.0, 0.0], "abstain_low": 0.1,
    "abstain_high": 0.9, "counts": {"real": 1, "synthetic": 1},
    "held_out": {"auc": None, "reals_called_forged": 0.0, "forged_called_forged": 0.0,
                 "forged_called_real": 0.0, "inconclusive": 1.0},
})  # fmt: skip


def test_the_right_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(CONTENT)
    assert AnswerFile.load(tmp_path / "b.json").sets is None
    with pytest.raises(InputError) as caught:
        AnswerFile.load(tmp_path / "nowhere.json")
    assert caught.value.code == "not_found"


def test_too_few_pictures_cost_no_question(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fit(engine_of(server), tmp_path, LEAST - 1)
    assert caught.value.code == "too_few_images"
    assert not server.requests


def test_what_is_no_calibration_is_not_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError) as caught:
        fit(engine_of(server), tmp_path)
    assert caught.value.code == "output_conflict"
    assert (tmp_path / "a.json").read_text() == "{}"


def test_half_an_answer_is_not_fitted(server: Server, tmp_path: Path) -> None:
    server.default = fails(401)
    with pytest.raises(EndpointError):
        fit(engine_of(server), tmp_path)
    assert not (tmp_path / "a.json").exists()
