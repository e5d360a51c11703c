"""A whole run on tiny data and a tiny random model: trained, resumed, loaded, joined by GRPO."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import TrainerCallback
from tuning_data import write_pictures

from vlm_forensics import adapters, assembly
from vlm_forensics.detector import Detector
from vlm_forensics.errors import InputError, ModelError
from vlm_forensics.tuning import run, settings, watching
from vlm_forensics.tuning.settings import Grpo, Sft

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # asked for by peft

Pictures = Callable[[str], Path]
SFT_STEPS = 4


def sft_settings(model: Path, pictures: Pictures, *more: str) -> Sft:
    found = settings.read("laptop-sft", [
        f"model={model}", f"data.train=[{pictures('train')}]", f"data.val=[{pictures('val')}]",
        "data.samples=6", "data.val_samples=6", f"training.steps={SFT_STEPS}", "training.batch=2",
        "training.save_every=2", "training.learning_rate=0.01", "lora.rank=2", *more,
    ])  # fmt: skip
    assert isinstance(found, Sft)
    return found


@pytest.fixture(scope="module")
def tuned(tiny_folder: Path, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "sft"
    run.run(sft_settings(tiny_folder, pictures), out)
    return out


def test_a_run_leaves_what_people_look_for(tuned: Path) -> None:
    found = {path.name for path in tuned.iterdir()}
    assert {"config.yaml", "log.csv", "curves.svg", "model", "checkpoint-4"} <= found
    record = json.loads((tuned / "model" / "training.json").read_text())
    assert record["steps"] == SFT_STEPS
    assert record["validation"]["after"]["answers"] == 5  # half the draw is real, and two exist
    card = (tuned / "model" / "README.md").read_text()
    assert "| parse rate |" in card
    assert str(tuned.parent) not in card


def test_the_tuned_folder_explains_an_image(tuned: Path) -> None:
    report = Detector.from_pretrained(tuned / "model")(noise())
    assert report.parse_status in ("ok", "repaired", "unparsed")  # it was asked
    assert report.rationale.text is not None


def noise() -> bytes:
    import io

    buffer = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 256, (128, 160, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_stage_b_trains_what_it_says_and_leaves_the_detector(
    tuned: Path, tiny_folder: Path
) -> None:
    before, after = load_file(tiny_folder / "model.safetensors"), load_file(
        tuned / "model" / adapters.TRAINED)  # fmt: skip
    # transformers leaves the middle of some names out when it saves.
    names = {name: name if name in before else name.replace("backbone.model.", "backbone.")
             for name in after}  # fmt: skip
    moved = {name for name in after if not torch.equal(after[name], before[names[name]])}
    for part in ("adapter.queries", "adapter.to_text", "mask_decoder.from_text",
                 "text_class_head", "multi_modal_projector"):  # fmt: skip
        assert any(part in name for name in moved), part
    still = ("adapter.stream", "adapter.class_head", "adapter.fuse", "mask_decoder.hyper")
    assert not [name for name in moved if name.startswith(still)]
    lora = load_file(tuned / "model" / adapters.LORA / adapters.WEIGHTS)
    assert all(value.abs().sum() > 0 for name, value in lora.items() if "lora_B" in name)
    assert any("token" in name for name in lora)


class Killed(TrainerCallback):
    def on_step_begin(self, _args: object, state: object, _control: object, **_: object) -> None:
        if state.global_step == 3:  # type: ignore[attr-defined]
            raise KeyboardInterrupt


@pytest.mark.parametrize("sampler", ["shuffled", "balanced", "momentum_difficulty"])
def test_a_killed_run_goes_on_with_the_same_curve(
    sampler: str, tuned: Path, tiny_folder: Path, pictures: Pictures, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out = tmp_path / "again"
    wanted = sft_settings(tiny_folder, pictures, f"sampler={sampler}",
                          f"data.cache={tuned / 'data'}")  # fmt: skip
    _kill(wanted, out, monkeypatch)
    assert (out / "checkpoint-2").is_dir()
    run.run(wanted, out)
    whole = tuned
    if sampler != "shuffled":
        whole = tmp_path / "whole"
        run.run(wanted, whole)
    first, second = (losses(folder) for folder in (whole, out))
    assert first == pytest.approx(second, rel=1e-5)
    assert len(first) == SFT_STEPS
    kept = json.loads((out / "checkpoint-4" / "trainer_state.json").read_text())
    state = kept["stateful_callbacks"].get("SamplerState", {}).get("attributes", {})
    assert sum(loss is not None for loss in state.get("average", [])) > 1 or (
        sampler != "momentum_difficulty")  # fmt: skip


def _kill(wanted: Sft, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a stop between two checkpoints leaves it."""
    whole = run.CsvLog
    with monkeypatch.context() as patched:
        patched.setattr(run, "CsvLog", lambda path: _both(whole(path), Killed()))
        with pytest.raises(KeyboardInterrupt):
            run.run(wanted, out)


def _both(log: TrainerCallback, killer: Killed) -> TrainerCallback:
    class Both(type(log)):  # type: ignore[misc]
        def on_step_begin(self, *arguments: object, **more: object) -> None:
            killer.on_step_begin(*arguments, **more)  # type: ignore[arg-type]

    return Both(log.path)  # type: ignore[attr-defined, no-any-return]


def test_a_run_killed_while_it_answers_trains_no_further(
    tuned: Path, tiny_folder: Path, pictures: Pictures, tmp_path: Path
) -> None:
    out = tmp_path / "ended"
    wanted = sft_settings(tiny_folder, pictures, f"data.cache={tuned / 'data'}")
    run.run(wanted, out)
    made = load_file(out / "model" / adapters.LORA / adapters.WEIGHTS)
    curve = losses(out)
    shutil.rmtree(out / "model")  # as a kill between the last step and the end leaves it
    assert run.run(wanted, out).steps == SFT_STEPS
    again = load_file(out / "model" / adapters.LORA / adapters.WEIGHTS)
    assert all(torch.equal(made[name], again[name]) for name in made)
    assert losses(out) == curve


def test_a_finished_run_of_rewards_trains_no_further(rewarded: Path, tmp_path: Path) -> None:
    out = tmp_path / "ended"
    shutil.copytree(rewarded, out)
    shutil.rmtree(out / "model")
    assert run.run(settings.read(str(out / run.CONFIG)), out).steps == 2
    first, again = (load_file(folder / "model" / adapters.LORA / adapters.WEIGHTS)
                    for folder in (rewarded, out))  # fmt: skip
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert watching.read(out / watching.LOG) == watching.read(rewarded / watching.LOG)


@pytest.mark.parametrize(
    ("step", "looks", "expected"),
    [(4, [], False), (10, [], True), (4, [(2, 0.5), (3, 0.4), (4, 0.4)], True),
     (4, [(2, 0.5), (4, 0.4)], False), (4, [(1, 0.5), (3, 0.4), (6, 0.4)], False)],
    ids=["under way", "all steps", "stopped", "patient", "looked after the checkpoint"],
)  # fmt: skip
def test_what_is_left_of_a_run(
    step: int, looks: list[tuple[int, float]], expected: bool, tmp_path: Path
) -> None:
    assert not watching.over(tmp_path, 2)
    state = tmp_path / f"checkpoint-{step}" / "trainer_state.json"
    state.parent.mkdir()
    state.write_text(json.dumps({"global_step": step, "max_steps": 10}))
    watching.write(tmp_path / watching.VALIDATION, [(n, "reward", value) for n, value in looks])
    assert watching.over(tmp_path, 2) is expected


def losses(folder: Path) -> list[float]:
    return [value for _, name, value in watching.read(folder / watching.LOG) if name == "loss"]


@pytest.fixture(scope="module")
def rewarded(tuned: Path, pictures: Pictures) -> Path:
    found = settings.read("laptop-grpo", [
        f"model={tuned / 'model'}", f"data.train=[{pictures('train')}]",
        f"data.val=[{pictures('val')}]", "data.samples=6", "data.val_samples=6",
        "training.steps=2", "training.batch=2", "training.accumulate=1", "group=2",
        "max_tokens=12", "lora.rank=2", "training.learning_rate=0.01", "training.save_every=1",
        "rewards={brevity: 1.0, mask: 0.5, consistency: 0.5}", "check_every=1",
    ])  # fmt: skip
    assert isinstance(found, Grpo)
    out = tuned.parent / "grpo"
    run.run(found, out)
    return out


def test_grpo_adds_to_the_adapter_of_sft(rewarded: Path, tuned: Path, tiny_folder: Path) -> None:
    assert adapters.base_of(rewarded / "model") == str(tiny_folder)
    settings_of = json.loads((rewarded / "model" / "lora" / "adapter_config.json").read_text())
    assert settings_of["r"] == 4
    first = load_file(tuned / "model" / adapters.LORA / adapters.WEIGHTS)
    joined = load_file(rewarded / "model" / adapters.LORA / adapters.WEIGHTS)
    assert first.keys() == joined.keys()
    names = {name for _, name, _ in watching.read(rewarded / watching.LOG)}
    assert {"rewards/brevity/mean", "rewards/mask/mean", "kl", "entropy"} <= names
    assert len(watching.read(rewarded / watching.VALIDATION)) == 2
    report = Detector.from_pretrained(rewarded / "model")(noise())
    assert report.rationale.text is not None


def test_export_gives_folders_that_load(rewarded: Path, tmp_path: Path) -> None:
    from vlm_forensics.tuning import exporting

    small = exporting.export(rewarded, tmp_path / "small", merged=False)
    whole = exporting.export(rewarded, tmp_path / "whole", merged=True)
    assert not (small / "model.safetensors").exists()
    assert (whole / "model.safetensors").is_file()
    assert (whole / "README.md").is_file()
    first, second = (Detector.from_pretrained(folder)(noise()) for folder in (small, whole))
    assert first.rationale.text == second.rationale.text
    with pytest.raises(InputError) as refused:
        exporting.export(rewarded, small, merged=False)
    assert refused.value.code == "output_conflict"
    with pytest.raises(InputError) as refused:
        exporting.export(tmp_path / "whole" / "..", tmp_path / "x", merged=False)
    assert refused.value.code == "not_found"


def test_another_run_is_not_overwritten(tuned: Path, tiny_folder: Path, pictures: Pictures) -> None:
    with pytest.raises(InputError) as refused:
        run.run(sft_settings(tiny_folder, pictures, "seed=1"), tuned)
    assert refused.value.code == "output_conflict"
    with pytest.raises(InputError) as refused:
        run.run(sft_settings(tiny_folder, pictures), pictures("train"))
    assert refused.value.code == "output_conflict"


def test_what_does_not_decode_is_left_out_and_counted(
    pictures: Pictures, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from vlm_forensics.tuning import examples

    broken = tmp_path / "broken"
    shutil.copytree(pictures("train"), broken)
    (broken / "train" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n, and then nothing")
    (broken / "train" / "1.png").unlink()
    found = examples.corpus([broken], "train", tmp_path / "work", seed=0)
    assert len(found) == 4
    assert "1 of 5 pictures do not decode and are left out" in caplog.text
    assert "1.png" in caplog.text


def test_memory_and_disk_errors_say_what_to_do() -> None:
    memory = run._explained(RuntimeError("[enforce fail] can't allocate memory: you tried"))
    assert isinstance(memory, ModelError)
    assert memory.code == "out_of_memory"
    assert "lora.four_bit=true" in memory.hint
    disk = run._explained(RuntimeError("No space left on device"))
    assert getattr(disk, "code", "") == "disk_full"
    assert (
        getattr(run._explained(OSError(28, "No space left on device")), "code", "") == "disk_full"
    )
    other = RuntimeError("shapes differ")
    assert run._explained(other) is other


def test_a_checkpoint_that_was_cut_off_is_passed_over(tuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for name in ("checkpoint-2", "checkpoint-4"):
        shutil.copytree(tuned / name, out / name)
    assert watching.last_checkpoint(out) == str(out / "checkpoint-4")
    (out / "checkpoint-4" / "trainer_state.json").write_text('{"global_st', encoding="utf-8")
    (out / "checkpoint-10").mkdir()
    assert watching.last_checkpoint(out) == str(out / "checkpoint-2")
    assert watching.last_checkpoint(tmp_path) is None


def test_a_tuned_model_is_not_quantised(tiny_folder: Path) -> None:
    from vlm_forensics.tuning import start

    with pytest.raises(ModelError) as refused:
        start.load(str(tiny_folder), four_bit=True)
    assert refused.value.code == "model_unsupported"


def test_the_seal_notices_a_changed_file(tuned: Path, tmp_path: Path) -> None:
    from vlm_forensics.errors import WeightsError

    copied = tmp_path / "copied"
    shutil.copytree(tuned / "model", copied)
    (copied / "calibration.json").write_text("{}", encoding="utf-8")
    with pytest.raises(WeightsError):
        assembly.model_folder(copied)


def test_a_plain_model_gets_its_detector_first(pictures: Pictures, tmp_path: Path) -> None:
    from tiny_models import model_of, tokenizer

    plain, out, val = tmp_path / "plain", tmp_path / "run", tmp_path / "val"
    write_pictures(val, 5, reals=20)
    model_of("llava").backbone.save_pretrained(plain)
    tokenizer().save_pretrained(plain)
    with pytest.raises(ModelError) as refused:
        run.run(settings.read("laptop-grpo", [
            f"model={plain}", f"data.train=[{pictures('train')}]",
            f"data.val=[{pictures('val')}]"]), tmp_path / "grpo", offline=True)  # fmt: skip
    assert refused.value.code == "model_unsupported"
    wanted = sft_settings(plain, pictures, "detection={steps: 2, batch: 2}", "training.steps=1")
    with pytest.raises(InputError) as few:
        run.run(wanted, tmp_path / "few", offline=True)
    assert few.value.code == "too_few_images"
    wanted = sft_settings(
        plain, pictures, "training.steps=1", f"data.val=[{val}]", "augment.transforms={turn: {}}",
        "detection={steps: 2, batch: 2, sampler: momentum_difficulty, "
        "augment: {copies: 2, transforms: {rotate: {}, patch_mask: {share: 1.0}}}}",
    )  # fmt: skip
    run.run(wanted, out, offline=True)
    states = np.load(out / "detection" / "states.npy")
    assert len(states) == 3 * 6
    assert not any(np.array_equal(states[3 * n], states[3 * n + 1]) for n in range(6))
    kept = out / "detection" / "checkpoint-2" / "trainer_state.json"
    assert len(json.loads(kept.read_text())["stateful_callbacks"]["SamplerState"]["attributes"][
        "average"]) == 3 * 6  # fmt: skip
    described = [json.loads(line) for path in (out / "data").glob("examples-*.jsonl")
                 for line in path.read_text().splitlines()]  # fmt: skip
    assert max(one["index"] for one in described) >= 6, "no copy was measured"
    assert {"parts.safetensors", "calibration.json", "reference.json"} <= {
        path.name for path in (out / "detection").iterdir()}  # fmt: skip
    report = Detector.from_pretrained(out / "model", offline=True)(noise())
    assert report.probability is not None
    assert report.rationale.text is not None
    assert adapters.base_of(out / "model") == str(plain)
