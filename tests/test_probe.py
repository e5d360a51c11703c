"""A linear probe from two folders of pictures to a report, on a random encoder."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BitImageProcessorPil,
    Dinov2Config,
    Dinov2Model,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from vlm_forensics import assembly, cli, probe
from vlm_forensics.cli import console
from vlm_forensics.decoding import decode
from vlm_forensics.detector import NO_PROMPT, Detector
from vlm_forensics.errors import InputError, ModelError, PrerequisiteError, VlmfError, WeightsError
from vlm_forensics.evaluation.baselines import shortcut_scores
from vlm_forensics.fitting import probe_fit
from vlm_forensics.fitting.probe_pictures import Picture, collect
from vlm_forensics.image import EvidenceImage
from vlm_forensics.probe_engine import Encoder, describe, pooled
from vlm_forensics.report import Report, json_schema
from vlm_forensics.taxonomy import Verdict

SIDE = 28
WIDTH = 16
COUNT = probe_fit.LEAST
_TOWER = {"hidden_size": WIDTH, "num_hidden_layers": 3, "num_attention_heads": 2,
          "image_size": SIDE, "patch_size": 14}  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**_TOWER, mlp_ratio=2)).save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    BitImageProcessorPil(size=size, do_center_crop=False).save_pretrained(folder)
    return folder


def picture(path: Path, number: int, *, synthetic: bool, side: int = 64) -> Path:
    """Grain of one colour; the classes differ in brightness, sources in the file's folder."""
    draw = np.random.default_rng(number + 1000 * synthetic)
    level = draw.normal(150 if synthetic else 90, 12)
    grain = np.clip(draw.normal(level, 10, (side, side, 3)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grain).save(path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for n in range(COUNT):
        for name in ("real", "fake"):
            picture(root / name / "ab"[n % 2] / f"{n}.png", n, synthetic=name == "fake")
    (root / "real" / "notes.txt").write_text("no picture")
    (root / "real" / "cut.png").write_bytes((root / "real" / "a" / "0.png").read_bytes()[:500])
    shutil.copy(root / "fake" / "b" / "1.png", root / "fake" / "again.png")
    return root


@pytest.fixture(scope="module")
def fitted(
    encoder: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, probe_fit.Fitted]:
    root = tmp_path_factory.mktemp("probe")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLMF_CACHE", str(root / "cache"))
        patch.setattr(probe_fit, "MEASURED", 2)
        patch.setattr("vlm_forensics.image.decode_isolated", decode)  # 120 processes take long
        patch.setattr(probe_fit, "shortcut_scores", partial(shortcut_scores, folds=2))
        patch.setattr(probe_fit, "C_GRID", (0.01, 0.1))
        done = probe_fit.fit(
            pictures / "real", pictures / "fake", root / "mine", encoder=str(encoder)
        )
    return root / "mine", done


def test_every_picture_is_used_once_or_named(fitted: tuple[Path, probe_fit.Fitted]) -> None:
    _, done = fitted
    third = {"real": COUNT // 3, "synthetic": COUNT // 3}
    assert done.counts == dict.fromkeys(("fit", "calibration", "held out"), third)
    assert done.skipped == {"unsupported_format": 1, "truncated": 1, "duplicate": 1}
    assert not done.by_source  # two sources cannot fill three parts
    assert done.figures["auc"].low > 0.9  # brightness is easy
    assert done.config.layer == 3


def test_the_report_says_that_it_is_a_probe(fitted: tuple[Path, probe_fit.Fitted]) -> None:
    folder, _ = fitted
    detector = Detector.from_pretrained(folder)
    image = EvidenceImage.open(picture(folder.parent / "new.png", 999, synthetic=True, side=96))
    found = detector.examine(image)
    report = found.report
    jsonschema.validate(json.loads(report.to_json()), json_schema())
    assert Report.from_json(report.to_json()) == report
    assert report.verdict is Verdict.SYNTHETIC
    assert report.classes["tampered"] == pytest.approx(0, abs=1e-6)
    assert (report.mask, report.regions, report.consistency) == (None, (), None)
    assert found.heatmap is None
    assert report.model.prompt == NO_PROMPT
    assert {"probe.safetensors", "config.json"} <= report.model.digests.keys()
    (skipped,) = [step for step in report.steps if step.status == "skipped"]
    assert (skipped.name, skipped.message) == ("rationale", "the model has no language model")
    assert report.parse_status == "not_asked"
    assert "linear_probe" in {notice.code for notice in report.limits}
    assert not [item for item in report.evidence if item.source == "model:operation_head"]


def test_a_dark_picture_is_called_real(fitted: tuple[Path, probe_fit.Fitted]) -> None:
    folder, _ = fitted
    path = picture(folder.parent / "dark.png", 998, synthetic=False, side=96)
    assert Detector.from_pretrained(folder)(path).verdict is Verdict.REAL


def test_the_card_has_the_figures_and_no_folder(
    fitted: tuple[Path, probe_fit.Fitted], encoder: Path
) -> None:
    folder, done = fitted
    text = (folder / "README.md").read_text()
    assert str(done.figures["auc"]) in text
    assert "1 truncated" in text
    assert f"of {done.measured} of these" in text
    assert str(encoder.parent) not in text


def test_a_second_run_encodes_nothing(
    fitted: tuple[Path, probe_fit.Fitted], monkeypatch: pytest.MonkeyPatch, pictures: Path
) -> None:
    folder, done = fitted
    monkeypatch.setenv("VLMF_CACHE", str(folder.parent / "cache"))
    monkeypatch.setattr("vlm_forensics.image.decode_isolated", decode)
    found = collect(pictures / "real", pictures / "fake", Counter())
    skipped: Counter[str] = Counter()

    def never(rgb: np.ndarray) -> np.ndarray:
        raise AssertionError(f"{len(rgb)} pictures were encoded again")

    again = probe_fit.probe_pictures.encode(found, never, done.config, skipped)
    assert len(again.pictures) == 2 * COUNT
    assert skipped == {"unsupported_format": 1, "truncated": 1}


def copied(fitted: tuple[Path, probe_fit.Fitted], to: Path) -> Path:
    return Path(shutil.copytree(fitted[0], to / "copy"))


@pytest.mark.parametrize("name", ["probe.safetensors", "calibration.json", "digests.json"])
def test_damage_is_found_before_use(
    fitted: tuple[Path, probe_fit.Fitted], tmp_path: Path, name: str
) -> None:
    folder = copied(fitted, tmp_path)
    data = bytearray((folder / name).read_bytes())
    data[-20] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        Detector.from_pretrained(folder)
    assert caught.value.code == "weights_corrupt"


def test_a_sealed_folder_that_is_no_probe_is_refused(
    fitted: tuple[Path, probe_fit.Fitted], tmp_path: Path
) -> None:
    folder = copied(fitted, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer": 0}))
    assembly.seal(folder)
    with pytest.raises(ModelError) as caught:
        Detector.from_pretrained(folder)
    assert caught.value.code == "model_config_invalid"


def test_another_encoder_is_refused(
    fitted: tuple[Path, probe_fit.Fitted], tmp_path: Path, encoder: Path
) -> None:
    folder = copied(fitted, tmp_path)
    other = Path(shutil.copytree(encoder, tmp_path / "other"))
    Dinov2Model(Dinov2Config(**_TOWER, mlp_ratio=2)).save_pretrained(other)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"encoder": str(other)}))
    assembly.seal(folder)
    with pytest.raises(WeightsError) as caught:
        Detector.from_pretrained(folder)
    assert "not the one" in caught.value.message


def refusal(real: Path, fake: Path, out: Path, encoder: str = "tiny") -> VlmfError:
    with pytest.raises(VlmfError) as caught:
        probe_fit.fit(real, fake, out, encoder=encoder, offline=True)
    assert not list(out.parent.glob(f".{out.name}-*"))
    return caught.value


def test_bad_inputs_are_typed(pictures: Path, tmp_path: Path) -> None:
    real, fake, out = pictures / "real", pictures / "fake", tmp_path / "out"
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "none", fake, out).code == "not_found"
    assert refusal(tmp_path / "empty", fake, out).code == "empty_folder"
    few = refusal(real / "a", fake, out)
    assert few.code == "too_few_images"
    assert str(probe_fit.LEAST) in few.hint
    mixed = tmp_path / "mixed"
    shutil.copytree(fake, mixed)
    shutil.copy(real / "a" / "0.png", mixed)
    assert refusal(real, mixed, out).code == "same_file"
    assert refusal(real, fake, out, "nobody/nothing").code == "weights_missing"
    assert refusal(real, fake, out, "no such: name").code == "model_not_found"
    assert not out.exists()


def test_other_files_are_never_replaced(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(InputError) as caught:
        probe_fit.fit(pictures / "real", pictures / "fake", tmp_path, force=True)
    assert caught.value.code == "output_conflict"
    assert (tmp_path / "photo.jpg").read_bytes() == b"mine"


def test_a_probe_is_replaced_only_when_asked(
    fitted: tuple[Path, probe_fit.Fitted], pictures: Path
) -> None:
    error = refusal(pictures / "real", pictures / "fake", fitted[0])
    assert (error.code, "--force" in error.hint) == ("output_conflict", True)


def test_without_scikit_learn_the_pip_line_is_named(
    monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    error = refusal(pictures / "real", pictures / "fake", tmp_path / "out")
    assert isinstance(error, PrerequisiteError)
    assert "vlm_forensics[train]" in error.hint


def test_whole_sources_are_held_out() -> None:
    made = [
        Picture(Path(), f"{source}{n}{label}", bool(label), source)
        for source, size in (("a", 40), ("b", 30), ("c", 25), ("d", 5))
        for n in range(size)
        for label in (0, 1)
    ]
    part, by_source = probe_fit.parts(made)
    assert by_source
    names = np.array([one.source for one in made])
    assert all(len(set(part[names == name].tolist())) == 1 for name in "abcd")
    assert set(part.tolist()) == {0, 1, 2}
    flat, by_source = probe_fit.parts([one for one in made if one.source != "c"])
    assert not by_source
    assert np.bincount(flat).tolist() == [50, 50, 50]


def test_an_encoder_without_a_class_token(tmp_path: Path) -> None:
    settings = {**_TOWER, "intermediate_size": 32}
    SiglipVisionModel(SiglipVisionConfig(**settings)).save_pretrained(tmp_path)
    SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(tmp_path)
    config = describe(str(tmp_path), 2)
    assert (config.prefix_tokens, config.layer, config.mean) == (0, 2, (0.5, 0.5, 0.5))
    rgb = np.zeros((2, 64, 64, 3), np.uint8)
    assert Encoder.load(tmp_path, config)(rgb).shape == (2, 2 * WIDTH)
    with pytest.raises(ModelError, match="no hidden state 9"):
        describe(str(tmp_path), 9)


def test_leaving_out_later_blocks_changes_nothing(encoder: Path) -> None:
    config = describe(str(encoder), 1)
    whole = Dinov2Model.from_pretrained(encoder).eval()
    rgb = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    mean, std = (np.array(x, np.float32) for x in (config.mean, config.std))
    pixels = torch.from_numpy((rgb / np.float32(255) - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        states = whole(pixels, output_hidden_states=True).hidden_states[1]
    expected = torch.cat([states[:, 0], states[:, 1:].mean(1), states[:, 1:].std(1)], 1)
    np.testing.assert_allclose(Encoder.load(encoder, config)(rgb), expected, atol=1e-5)


def test_register_tokens_are_not_patches() -> None:
    states = torch.arange(24.0).reshape(1, 6, 4)
    found = pooled(states, 2)[0]
    assert torch.equal(found[:4], states[0, 0])
    assert torch.equal(found[4:8], states[0, 2:].mean(0))


def test_a_model_without_vision_is_no_encoder(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaModel

    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 8,
            "num_attention_heads": 2}  # fmt: skip
    LlamaModel(LlamaConfig(**size)).save_pretrained(tmp_path)
    with pytest.raises(ModelError) as caught:
        describe(str(tmp_path))
    assert caught.value.code == "model_unsupported"


def test_the_command_prints_the_figures(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fitted: tuple[Path, probe_fit.Fitted],
) -> None:
    console.set_verbosity(0, quiet=False)
    monkeypatch.setattr(probe_fit, "fit", lambda *_, **__: fitted[1])
    words = ["vlmf", "probe", "fit", "--real", "r", "--fake", "f"]
    for extra in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", [*words, *extra])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code
    out, err = capfd.readouterr()
    assert "tampering is not judged" in out
    assert "left out: 1 truncated" in err
    found = json.loads(out.splitlines()[-1])
    assert found["held_out"]["auc"][0] == fitted[1].figures["auc"].value
    assert found["skipped"] == fitted[1].skipped


def test_only_a_probe_is_taken_for_one(tmp_path: Path) -> None:
    assert not probe.is_probe(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "vlm_forensics"}')
    assert not probe.is_probe(tmp_path)
