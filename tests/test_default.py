"""The shipped default on the example pictures, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from vlm_forensics import assembly, cli, light_engine, masks, weights
from vlm_forensics.assets import asset
from vlm_forensics.detector import Detector, Examination
from vlm_forensics.engine import Engine
from vlm_forensics.evaluation.judge import Judge
from vlm_forensics.image import EvidenceImage
from vlm_forensics.light_engine import LightEngine
from vlm_forensics.report import Report, json_schema
from vlm_forensics.taxonomy import Verdict

EXAMPLES = ("cat.jpg", "coffee_copied.jpg", "rocket_copied.jpg")
pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(weights.mini_folder() is None, reason="the trained weights are not here"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`"),  # asked for by peft
]


@pytest.fixture(scope="module")
def found(base_weights: dict[str, Path]) -> dict[str, Examination]:
    assert base_weights
    detector = Detector.from_pretrained()
    return {
        name: detector.examine(EvidenceImage.open(asset("examples", name))) for name in EXAMPLES
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_report_is_complete(found: dict[str, Examination], name: str) -> None:
    report = found[name].report
    jsonschema.validate(json.loads(report.to_json()), json_schema())
    assert Report.from_json(report.to_json()) == report
    assert report.parse_status in ("ok", "repaired")
    assert {step.status for step in report.steps} == {"ok"}
    assert not report.model.stub
    known = {e.id for e in report.evidence}
    for claim in report.rationale.claims:
        assert claim.evidence
        assert set(claim.evidence) <= known


def test_an_untouched_photograph_is_not_accused(found: dict[str, Examination]) -> None:
    assert found["cat.jpg"].report.verdict in (Verdict.REAL, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("name", EXAMPLES[1:])
def test_the_heat_map_is_warmer_where_the_copy_lies(
    found: dict[str, Examination], name: str
) -> None:
    heat = found[name].heatmap
    assert heat is not None
    with Image.open(asset("examples", name.replace(".jpg", ".mask.png"))) as image:
        truth = np.asarray(image.convert("L")) > 127
    assert heat.shape == truth.shape
    assert heat[truth].mean() > heat[~truth].mean()
    mask = found[name].report.mask
    if mask is not None:
        assert masks.decode(mask).shape == truth.shape


def test_without_rationale_opencv_sees_what_torch_sees() -> None:
    folder = assembly.model_folder(assembly.MINI)
    graph = assembly.light_graph(folder)
    assert graph is not None
    ours, theirs = LightEngine.load(graph), Engine.load(folder, language=False)
    for name in EXAMPLES:
        rgb = EvidenceImage.open(asset("examples", name)).rgb
        a, b = ours.see(rgb), theirs.see(rgb)
        np.testing.assert_allclose(a.class_logits, b.class_logits, atol=1e-3)
        assert a.operations == pytest.approx(b.operations, abs=1e-3)
        assert a.heatmap is not None
        assert b.heatmap is not None
        np.testing.assert_allclose(a.heatmap, b.heatmap, atol=1e-3)


def test_the_record_names_what_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = []
    for without_gpu in (True, False):
        monkeypatch.setattr(light_engine, "preferred", lambda found=without_gpu: found)
        detector = Detector.from_pretrained(rationale=False)
        reports.append(detector(asset("examples", EXAMPLES[0])))
    light, torch = reports
    assert set(light.model.versions) == {"opencv", "numpy", "pillow"}
    assert set(torch.model.versions) == {"torch", "transformers", "numpy", "pillow"}
    assert (light.model.device, light.model.dtype) == ("cpu", "float32")
    assert light.model.digests == torch.model.digests
    assert light.verdict == torch.verdict
    assert light.classes == pytest.approx(torch.classes, abs=1e-3)
    steps = [[(step.name, step.status, step.message) for step in r.steps] for r in reports]
    assert steps[0] == steps[1]


def test_an_evaluation_can_look_into_the_network() -> None:
    judge = Judge.load(assembly.MINI, rationale=False)
    assert isinstance(judge.detector._engine, Engine)


def test_verify_accepts_a_report_of_the_default(
    found: dict[str, Examination], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = EXAMPLES[1]
    (tmp_path / "report.json").write_text(found[name].report.to_json())
    picture = str(asset("examples", name))
    monkeypatch.setattr("sys.argv", ["vlmf", "verify", str(tmp_path / "report.json"), picture])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code
