"""What OpenCV finds with the shipped graph is what torch finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import model_of

from vlm_forensics import weights
from vlm_forensics.engine import Engine
from vlm_forensics.light_engine import LightEngine
from vlm_forensics.model import graph, light
from vlm_forensics.model.inputs import overview, to_tensor, vision_array, vision_input

STALE = "light.onnx is stale: python training/light_graph.py"


@pytest.fixture(scope="module")
def model() -> light.LightModel:
    """The built-in model's architecture with random weights."""
    folder = weights.mini_folder()
    if folder is None:
        pytest.skip("the trained weights are not here")
    torch.manual_seed(0)
    made = light.LightModel(light.read_config(folder)).eval()
    made.adapter.get_buffer("class_mix").fill_(0.5)
    for name in ("start", "positions"):
        torch.nn.init.normal_(made.tower.get_parameter(name), std=0.5)
    return made


@pytest.fixture(scope="module")
def filled(model: light.LightModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / graph.FILLED
    assert graph.write(model, path), STALE
    return path


@pytest.mark.parametrize(
    "size", [(64, 80), (300, 200), (500, 700), (900, 400)],
    ids=["tiny", "no tiles", "tiles", "tall"],
)  # fmt: skip
def test_both_engines_see_the_same(
    model: light.LightModel, filled: Path, size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(size[0])
    rgb = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    theirs, ours = Engine(model, None).see(rgb), LightEngine.load(filled).see(rgb)
    np.testing.assert_allclose(ours.class_logits, theirs.class_logits, atol=1e-4, err_msg=STALE)
    assert list(ours.operations) == list(theirs.operations)
    shares = [list(seen.operations.values()) for seen in (ours, theirs)]
    np.testing.assert_allclose(*shares, atol=1e-4, err_msg=STALE)
    assert ours.heatmap is not None
    assert theirs.heatmap is not None
    assert ours.heatmap.dtype == np.float32
    np.testing.assert_allclose(ours.heatmap, theirs.heatmap, atol=1e-4, err_msg=STALE)
    assert ours.score == pytest.approx(theirs.score, abs=1e-4)


def test_one_network_sees_pictures_of_different_sizes(filled: Path) -> None:
    engine = LightEngine.load(filled)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
                for h, w in ((64, 80), (500, 700), (300, 200))]  # fmt: skip
    for rgb in (*pictures, *pictures):
        fresh = LightEngine.load(filled).see(rgb)
        np.testing.assert_allclose(engine.see(rgb).class_logits, fresh.class_logits, atol=1e-5)


def test_infinite_logits_are_an_error(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = np.full((1, 3), np.nan, np.float32), np.zeros((1, 9)), np.zeros((1, 16, 20))
    monkeypatch.setattr(graph, "run", lambda *_: bad)
    with pytest.raises(ArithmeticError):
        LightEngine.load(filled).see(np.zeros((64, 80, 3), np.uint8))


@pytest.mark.parametrize("size", [(96, 64), (300, 451), (2000, 700)])
def test_both_prepare_the_same_overview(size: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    shown = overview(rgb)
    theirs = vision_input(to_tensor(shown)[None], graph.SIDE)
    np.testing.assert_allclose(vision_array(shown, graph.SIDE), theirs.numpy(), atol=1e-4)


def test_another_architecture_gets_no_graph(tmp_path: Path) -> None:
    model_of("internvl").save_pretrained(tmp_path)
    other = light.load(tmp_path, light.read_config(tmp_path)).eval()
    other.config.backbone_config.vision_config.image_size = [graph.SIDE, graph.SIDE]
    assert not graph.write(other, tmp_path / graph.FILLED)
    assert not (tmp_path / graph.FILLED).exists()


def test_what_differs_from_torch_is_not_kept(
    model: light.LightModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = graph.run
    monkeypatch.setattr(graph, "run", lambda *given: tuple(v + 0.01 for v in run(*given)))
    assert not graph.write(model, tmp_path / graph.FILLED)
    assert list(tmp_path.iterdir()) == []


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, vlm_forensics.detector, vlm_forensics.light_engine\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
