"""The whole path from file to report, on a random model of a few thousand weights."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from tiny_models import model_of, save

from vlm_forensics import masks, prompts
from vlm_forensics.calibration import Calibration
from vlm_forensics.collate import TextInputs
from vlm_forensics.detector import Detector, Examination
from vlm_forensics.engine import Engine, Seen, Written
from vlm_forensics.errors import InputError, ModelError, WeightsError
from vlm_forensics.features import base, names
from vlm_forensics.features.reference import LEVELS, Reference
from vlm_forensics.image import EvidenceImage
from vlm_forensics.rationale import Told
from vlm_forensics.report import Report, json_schema
from vlm_forensics.taxonomy import Verdict

EVERYTHING, NOTHING = 0.01, 0.99
"""Mask thresholds: an untrained mask is about one half everywhere."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    save(model_of(), path)
    Reference({"noise_level.log2_ratio": (0.0,) * len(LEVELS)}, 5).save(path / "reference.json")
    calibrate(path)
    return path


def calibrate(folder: Path, leaning: str = "tampered", mask: float = EVERYTHING) -> None:
    """A calibration whose bias decides the class."""
    bias = {"real": (8.0, 0.0, 0.0), "synthetic": (0.0, 8.0, 0.0), "tampered": (0.0, 0.0, 8.0),
            "unsure": (0.69, 0.0, 0.0)}[leaning]  # fmt: skip
    Calibration(id="test", temperature=100.0, bias=bias, abstain_low=0.2, abstain_high=0.8,
                mask_threshold=mask).save(folder / "calibration.json")  # fmt: skip


@pytest.fixture(scope="module")
def photo() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(data.chelsea()[20:240, 60:300]).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


Build = Callable[..., Detector]


@pytest.fixture
def detector(folder: Path, tmp_path: Path) -> Build:
    def build(
        leaning: str = "tampered", *, mask: float = EVERYTHING, rationale: bool = True
    ) -> Detector:
        made = tmp_path / f"{leaning}-{mask}"
        shutil.copytree(folder, made, dirs_exist_ok=True)
        calibrate(made, leaning, mask)
        return Detector(made, "tiny", rationale=rationale)

    return build


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the language model write a text of our choice."""

    def set_text(text: str) -> None:
        def explain(self: Engine, seen: Seen, about: Told) -> Written:
            assert seen.heatmap.ndim == 2
            assert isinstance(self.text, TextInputs)
            ids = self.text.prompt_ids(about.judged, about.measured)
            ids += self.text.tokenizer(text, add_special_tokens=False)["input_ids"]
            return Written(text, torch.tensor([ids]))

        monkeypatch.setattr(Engine, "explain", explain)

    return set_text


def steps_of(report: Report) -> dict[str, str]:
    return {step.name: step.status for step in report.steps}


def without_times(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report.to_json())
    found["created"] = ""
    for step in found["steps"]:
        step["seconds"] = 0
    return found


@pytest.mark.parametrize("leaning", ["real", "synthetic", "tampered", "unsure"])
@pytest.mark.parametrize("rationale", [True, False])
def test_reports_follow_the_schema(
    detector: Build, photo: bytes, leaning: str, rationale: bool
) -> None:
    report = detector(leaning, rationale=rationale)(photo)
    jsonschema.validate(json.loads(report.to_json()), json_schema())
    assert Report.from_json(report.to_json()) == report
    assert sum(report.classes.values()) == pytest.approx(1)
    assert report.probability == pytest.approx(1 - report.classes["real"])
    assert report.consistency is not None
    if leaning != "unsure":
        assert str(report.consistency.head) == leaning
    maybe = report.classes["tampered"] >= report.classes["synthetic"]
    marked = {Verdict.TAMPERED: True, Verdict.INCONCLUSIVE: maybe}.get(report.verdict, False)
    assert (report.mask is not None) == marked
    assert {e.id for e in report.evidence} == {f"e{n + 1}" for n in range(len(report.evidence))}
    regions = {region.id for region in report.regions}
    assert {e.region for e in report.evidence} <= regions | {None}
    assert report.model.prompt == prompts.EXPLAIN
    assert {"model.safetensors", "calibration.json", f"prompts/{prompts.EXPLAIN}"} <= set(
        report.model.digests
    )


def test_even_an_untrained_text_claims_only_what_evidence_allows(
    detector: Build, photo: bytes
) -> None:
    for leaning in ("real", "synthetic", "tampered"):
        report = detector(leaning)(photo)
        assert report.rationale.text
        assert report.consistency is not None
        assert report.consistency.text in (report.consistency.head, None)
        lines = report.rationale.text.count(" | ")
        assert (lines == 0) == (leaning == "real")
        assert all(claim.evidence for claim in report.rationale.claims)


@pytest.mark.parametrize("text", ["", "unreal", "<answer>not real</answer>", "pasted_object | all"])
def test_unparsed_texts_decide_nothing(
    detector: Build, photo: bytes, writes: Callable[[str], None], text: str
) -> None:
    silent = detector(rationale=False)(photo)
    writes(text)
    report = detector()(photo)
    assert report.parse_status == "unparsed"
    assert report.rationale.claims == ()
    assert report.rationale.text == text
    assert report.verdict is silent.verdict
    assert report.probability == pytest.approx(silent.probability)


def test_without_rationale_the_text_is_not_asked(detector: Build, photo: bytes) -> None:
    full, bare = detector()(photo), detector(rationale=False)(photo)
    assert bare.parse_status == "not_asked"
    assert bare.rationale.text is None
    assert steps_of(bare)["rationale"] == "skipped"
    assert (bare.verdict, bare.mask) == (full.verdict, full.mask)
    assert bare.probability == pytest.approx(full.probability)
    assert bare.model.dtype == "float32"


def test_a_supported_claim_is_kept(
    detector: Build, photo: bytes, writes: Callable[[str], None]
) -> None:
    writes("<answer>tampered [SEG]\nnoise_mismatch | all | Its noise differs.</answer>")
    judge = detector(mask=EVERYTHING)
    engine = judge._engine
    half = np.zeros((220, 240), np.float32)
    half[:, :100] = 0.9

    def see(rgb: np.ndarray) -> Seen:
        return dataclasses.replace(Engine.see(engine, rgb), heatmap=half)

    engine.see = see  # type: ignore[method-assign]
    engine.prompted_mask = lambda seen, _: seen.heatmap  # type: ignore[method-assign]
    report = judge(photo)
    assert report.verdict is Verdict.TAMPERED
    assert report.parse_status == "ok"
    (claim,) = report.rationale.claims
    assert claim.corroborated
    known = {e.id: e for e in report.evidence}
    assert {known[one].source for one in claim.evidence} == {"feature:noise_level"}
    assert report.mask is not None
    assert np.array_equal(masks.decode(report.mask), half > 0)


def test_a_claim_without_evidence_is_dropped(
    detector: Build, photo: bytes, writes: Callable[[str], None]
) -> None:
    writes("<answer>tampered [SEG]\nresampling_trace | all | It was resized.</answer>")
    report = detector()(photo)
    assert report.rationale.claims == ()
    assert report.rationale.dropped == ("resampling_trace: no observation supports it",)


@pytest.mark.parametrize(
    ("leaning", "text"), [("tampered", "real"), ("real", "tampered"), ("synthetic", "tampered")]
)
def test_head_and_text_that_disagree_are_inconclusive(
    detector: Build, photo: bytes, writes: Callable[[str], None], leaning: str, text: str
) -> None:
    writes(f"<answer>{text}\ngenerator_texture | all | It looks generated.</answer>")
    report = detector(leaning, mask=NOTHING if leaning == "real" else EVERYTHING)(photo)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert [reason.code for reason in report.reasons] == ["disagreement"]
    assert report.strength is None
    assert report.rationale.claims == ()
    assert "inconclusive" in report.sentence()


def test_the_text_never_turns_a_verdict(
    detector: Build, photo: bytes, writes: Callable[[str], None]
) -> None:
    for leaning in ("real", "synthetic", "tampered"):
        for text in ("real", "synthetic", "tampered"):
            writes(f"<answer>{text}</answer>")
            mask = NOTHING if leaning == "real" else EVERYTHING
            assert str(detector(leaning, mask=mask)(photo).verdict) in (leaning, "inconclusive")


def test_a_tampered_head_with_an_empty_mask_is_inconclusive(detector: Build, photo: bytes) -> None:
    report = detector(mask=NOTHING, rationale=False)(photo)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "no altered area" in report.reasons[0].message


def test_between_the_thresholds_nothing_is_said(detector: Build, photo: bytes) -> None:
    report = detector("unsure", rationale=False)(photo)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert [reason.code for reason in report.reasons] == ["abstain_band"]


def test_a_failing_feature_is_recorded_and_the_run_goes_on(
    detector: Build, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vlm_forensics.features.srm import Srm

    def broken(self: Srm, image: base.Pixels) -> base.Measurement:
        raise ZeroDivisionError(f"{self.name} {image.rgb.shape}")

    monkeypatch.setattr(Srm, "measure", broken)
    report = detector(rationale=False)(photo)
    assert report.verdict is Verdict.TAMPERED
    sources = {e.source.removeprefix("feature:") for e in report.evidence if "feature" in e.source}
    assert "srm" not in sources
    assert "noise_level" in sources
    assert len(sources) == len(names()) - 1


def test_a_model_that_fails_is_inconclusive_with_the_reason(
    detector: Build, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Engine, rgb: np.ndarray) -> Seen:
        raise RuntimeError(f"{self.size} {rgb.shape}")

    monkeypatch.setattr(Engine, "see", broken)
    found = detector().examine(EvidenceImage.from_bytes(photo))
    assert isinstance(found, Examination)
    assert found.heatmap is None
    report = found.report
    assert (report.verdict, report.probability, report.score) == (Verdict.INCONCLUSIVE, None, None)
    assert [reason.code for reason in report.reasons] == ["model_failed"]
    assert steps_of(report)["detect"] == "failed"
    jsonschema.validate(json.loads(report.to_json()), json_schema())


def test_logits_that_are_no_numbers_are_a_failure(detector: Build, photo: bytes) -> None:
    judge = detector(rationale=False)
    torch.nn.init.constant_(judge._engine.model.adapter.class_head.bias, float("nan"))
    report = judge(photo)
    assert [reason.code for reason in report.reasons] == ["model_failed"]
    assert Report.from_json(report.to_json()) == report


def test_a_failing_text_leaves_the_verdict(
    detector: Build, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = detector(rationale=False)(photo)

    def broken(self: Engine, seen: Seen, measured: str) -> Written:
        raise RuntimeError(f"{self.size} {seen.score} {measured}")

    monkeypatch.setattr(Engine, "explain", broken)
    report = detector()(photo)
    assert steps_of(report)["rationale"] == "failed"
    assert (report.verdict, report.rationale.claims) == (expected.verdict, ())


def test_two_runs_agree(detector: Build, photo: bytes) -> None:
    judge = detector()
    first, second, other = judge(photo), judge(photo), detector()(photo)
    assert without_times(first) == without_times(second) == without_times(other)


def test_paths_bytes_and_images_give_one_answer(
    detector: Build, photo: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(photo)
    judge = detector(rationale=False)
    found = list(judge.batch([path, str(path), photo, EvidenceImage.open(path)]))
    assert [report.image.name for report in found] == ["cat.jpg", "cat.jpg", "-", "cat.jpg"]
    assert len({report.probability for report in found}) == 1
    with pytest.raises(InputError):
        judge(tmp_path / "none.jpg")


def test_large_pictures_are_tiled_and_masked_at_their_size(detector: Build) -> None:
    buffer = io.BytesIO()
    Image.fromarray(data.astronaut()[:, :450]).save(buffer, "PNG")
    found = detector(rationale=False).examine(EvidenceImage.from_bytes(buffer.getvalue()))
    assert found.heatmap is not None
    assert found.heatmap.shape == (512, 450)
    assert found.report.mask is not None
    assert found.report.mask.size == (512, 450)


def test_a_folder_is_used_as_it_is(folder: Path, photo: bytes) -> None:
    report = Detector.from_pretrained(folder, rationale=False)(photo)
    assert report.verdict is Verdict.TAMPERED
    assert not report.model.stub


def broken_copy(folder: Path, out: Path) -> Path:
    shutil.copytree(folder, out)
    return out


def test_code_in_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    bad = broken_copy(folder, tmp_path / "bad")
    (bad / "modeling.py").write_text("print('owned')")
    with pytest.raises(WeightsError) as caught:
        Detector.from_pretrained(bad)
    assert caught.value.code == "weights_unsafe"


def test_a_configuration_that_asks_for_code_is_refused(folder: Path, tmp_path: Path) -> None:
    bad = broken_copy(folder, tmp_path / "bad")
    config = json.loads((bad / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "x.Y"}
    (bad / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError) as caught:
        Detector.from_pretrained(bad)
    assert caught.value.code == "weights_unsafe"


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        Detector.from_pretrained(tmp_path / "nothing")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("name", ["calibration.json", "reference.json"])
@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_model_without_its_calibration_is_refused(
    folder: Path, tmp_path: Path, name: str, content: str | None
) -> None:
    bad = broken_copy(folder, tmp_path / "bad")
    (bad / name).unlink()
    if content is not None:
        (bad / name).write_text(content)
    with pytest.raises(ModelError) as caught:
        Detector(bad, "tiny")
    assert caught.value.code == "model_config_invalid"


def spoil(folder: Path, how: str) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    if how == "absent":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        state = load_file(path)
        name = "adapter.class_head.weight"
        kept = {key: value for key, value in state.items() if key != name}
        changed = kept if how == "incomplete" else kept | {name: copy.copy(state[name][:2])}
        save_file(changed, path, metadata={"format": "pt"})


@pytest.mark.parametrize("how", ["absent", "cut", "incomplete", "misshapen"])
@pytest.mark.parametrize("rationale", [True, False])
def test_damaged_weights_are_never_run(
    folder: Path, tmp_path: Path, photo: bytes, how: str, rationale: bool
) -> None:
    bad = broken_copy(folder, tmp_path / "bad")
    spoil(bad, how)
    with pytest.raises((ModelError, WeightsError)):
        Detector(bad, "tiny", rationale=rationale)(photo)
