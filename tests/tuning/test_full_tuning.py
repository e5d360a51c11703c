"""Full fine-tuning: the language model's own weights move, are resumed, written and found again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

sys.path.append(str(Path(__file__).parents[1] / "backbones"))
from tiny_families import BUILDERS
from tuning_starts import snapshot, start_of, two_examples

from vlm_forensics import adapters, assembly
from vlm_forensics.detector import Detector
from vlm_forensics.model.modeling import VlmForensicsModel
from vlm_forensics.tuning import exporting, full, grpo, run, settings, sft, watching
from vlm_forensics.tuning.examples import Examples
from vlm_forensics.tuning.policy import Policy
from vlm_forensics.tuning.start import Start

pytestmark = [  # names that trl uses
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing_"),
]
Pictures = Callable[[str], Path]
REWARDS = "rewards={brevity: 1.0, mask: 1.0, consistency: 1.0}"


@pytest.fixture(scope="module")
def examples() -> Examples:
    return two_examples()


def read(name: str, *changes: str) -> Any:
    return settings.read(name, [
        "method=full", "training.steps=1", "training.batch=2", "training.save_every=1",
        "training.learning_rate=0.01", *changes,
    ])  # fmt: skip


def of_language(model: VlmForensicsModel) -> set[str]:
    """Names of the parameters of the language model, tied ones once."""
    own = {id(p) for part in model.language_parts() for p in part.parameters()}
    return {name for name, value in model.named_parameters() if id(value) in own}


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_sft_moves_all_of_the_language_model(name: str, examples: Examples, tmp_path: Path) -> None:
    start, wanted = start_of(name), read("laptop-sft")
    sft.adapt(start, wanted)
    model = start.model
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    before = snapshot(model)
    sft.train(start, examples, wanted, tmp_path)
    moved = {n for n, value in model.named_parameters() if not torch.equal(before[n], value)}
    language = of_language(model)
    assert len(language) > 10
    assert language <= moved | {n for n in language if n.endswith("k_proj.bias")}  # no gradient
    parts = (*sft.PARTS, *adapters.projectors(model.config))
    assert all(name.startswith(parts) for name in moved - language)
    assert not [name for name in moved if "vision_tower" in name or "visual.blocks" in name]
    assert not [name for name in model.state_dict() if "lora" in name]


@pytest.mark.parametrize("name", ["internvl", "qwen3_vl"])
def test_grpo_moves_the_language_model_and_nothing_else(
    name: str, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reward(wanted: str, *_: Any) -> Callable[..., list[float]]:
        def scored(completion_ids: list[list[int]], **_: Any) -> list[float]:
            return [sum(ids) % 7 / 7 for ids in completion_ids]  # no two babbles are worth the same

        scored.__name__ = wanted
        return scored

    monkeypatch.setattr(grpo, "reward", reward)
    start = start_of(name)
    before = snapshot(start.model)
    wanted = read("laptop-grpo", "training.accumulate=1", "group=2", "max_tokens=8",
                  "rewards={format: 1.0}", "kl=0.1", "training.steps=2")  # fmt: skip
    grpo.train(start, examples, wanted, tmp_path / "run", [watching.CsvLog(tmp_path / "log.csv")])
    after = dict(start.model.named_parameters())
    moved = {name for name, value in after.items() if not torch.equal(before[name], value)}
    assert moved
    assert moved <= of_language(start.model)
    logged = [value for _, key, value in watching.read(tmp_path / "log.csv") if key == "kl"]
    assert logged[0] == pytest.approx(0, abs=1e-6), "the first answers are those of the start"
    assert logged[1] > 0

    again = start_of(name)  # from the first step on, as if the run had been killed in the second
    (tmp_path / "again").mkdir()
    (tmp_path / "run" / "checkpoint-1").rename(tmp_path / "again" / "checkpoint-1")
    grpo.train(again, examples, wanted, tmp_path / "again")
    for key, value in again.model.named_parameters():
        assert torch.equal(value, after[key]), key


def test_the_reference_shares_what_stays() -> None:
    start = start_of("internvl")
    full.free(start.model)
    policy = Policy(start.model)
    frozen = full.reference(policy)
    ours, theirs = dict(policy.named_parameters()), dict(frozen.named_parameters())
    assert not any(p.requires_grad for p in theirs.values())
    assert all(p.requires_grad == (theirs[name] is not p) for name, p in ours.items())
    assert frozen.get_output_embeddings().weight is frozen.get_input_embeddings().weight


def run_settings(recipe: str, model: Path, pictures: Pictures, *more: str) -> Any:
    return read(
        recipe, f"model={model}", f"data.train=[{pictures('train')}]",
        f"data.val=[{pictures('val')}]", "data.samples=6", "data.val_samples=6",
        "training.steps=3", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tuned(tiny_folder: Path, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("full") / "sft"
    run.run(run_settings("laptop-sft", tiny_folder, pictures), out)
    return out


def test_a_full_run_leaves_a_whole_model(
    tuned: Path, tiny_folder: Path, tmp_path: Path, noise: bytes
) -> None:
    folder = tuned / "model"
    found = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "calibration.json", "README.md", "digests.json"} <= found
    assert not found & {adapters.BASE, adapters.LORA, adapters.TRAINED}
    assert assembly.model_folder(folder) == folder
    before, after = (load_file(path / "model.safetensors") for path in (tiny_folder, folder))
    assert all(not torch.equal(before[name], value.float()) for name, value in after.items()
               if "language_model" in name)  # fmt: skip
    assert {str(value.dtype) for name, value in after.items() if "language_model" in name} == {
        "torch.bfloat16"}  # fmt: skip
    small = exporting.export(tuned, tmp_path / "small", merged=False)
    whole = exporting.export(tuned, tmp_path / "whole", merged=True)
    texts = {
        Detector.from_pretrained(path)(noise).rationale.text for path in (folder, small, whole)
    }
    assert len(texts) == 1
    assert texts != {None}


def test_what_is_written_answers_like_what_was_trained(
    tiny_folder: Path, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Start] = []
    write = full.write

    def keep(start: Start, folder: Path) -> None:
        write(start, folder)
        kept.append(start)

    monkeypatch.setattr(full, "write", keep)
    wanted = run_settings("laptop-sft", tiny_folder, pictures, "training.steps=1")
    run.run(wanted, tmp_path / "run")
    model, text = kept[0].model.float(), kept[0].text
    again = VlmForensicsModel.from_pretrained(tmp_path / "run" / "model", dtype=torch.float32)
    again.eval()
    ids = torch.tensor([text.prompt_ids("real 90%", "nothing")])
    overview = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        ours, theirs = (one(ids, torch.ones_like(ids), overview=overview) for one in (model, again))
    for name in ("logits", "class_logits", "text_class_logits", "mask_logits"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


class Killed(TrainerCallback):
    def on_step_begin(self, _args: object, state: Any, _control: object, **_: object) -> None:
        if state.global_step == 2:
            raise KeyboardInterrupt


def test_a_killed_full_run_goes_on_with_the_same_curve(
    tuned: Path, tiny_folder: Path, pictures: Pictures, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    wanted = run_settings("laptop-sft", tiny_folder, pictures)
    log = run.CsvLog

    class KilledLog(Killed, log):  # type: ignore[misc, valid-type]
        pass

    with monkeypatch.context() as patched:
        patched.setattr(run, "CsvLog", KilledLog)
        with pytest.raises(KeyboardInterrupt):
            run.run(wanted, tmp_path / "again")
    run.run(wanted, tmp_path / "again")
    first, second = (load_file(out / "model" / "model.safetensors")
                     for out in (tuned, tmp_path / "again"))  # fmt: skip
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("method", ["full", "lora"])
def test_grpo_goes_on_from_a_full_model(
    tuned: Path, pictures: Pictures, tmp_path: Path, noise: bytes, method: str
) -> None:
    wanted = run_settings(
        "laptop-grpo", tuned / "model", pictures, f"method={method}", "training.accumulate=1",
        "group=2", "max_tokens=12", REWARDS, "training.steps=1", "training.checkpointing=true",
    )  # fmt: skip
    run.run(wanted, tmp_path / "run")
    folder = tmp_path / "run" / "model"
    assert adapters.base_of(folder) == (None if method == "full" else str(tuned / "model"))
    report = Detector.from_pretrained(folder)(noise)
    assert report.rationale.text is not None
