"""One run from settings to a folder that `Detector.from_pretrained` loads; repeat it to go on."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from accelerate import PartialState
from safetensors import SafetensorError
from transformers import set_seed

from vlm_forensics import adapters, assembly
from vlm_forensics.errors import InputError, ModelError, WeightsError
from vlm_forensics.tuning import curves, detector_stage, examples, full, model_card, scorecard
from vlm_forensics.tuning import start as starting
from vlm_forensics.tuning.examples import Examples
from vlm_forensics.tuning.scorecard import Card
from vlm_forensics.tuning.settings import Grpo, Sft
from vlm_forensics.tuning.start import Start
from vlm_forensics.tuning.watching import (
    LOG,
    VALIDATION,
    CsvLog,
    Validation,
    last_checkpoint,
)

log = logging.getLogger(__name__)

MODEL = "model"
"""Folder of the finished model below the run's."""
CONFIG = "config.yaml"
RECORD = "training.json"


class Finished(NamedTuple):
    """What a run made."""

    folder: Path
    before: Card
    """The starting model's answers on validation."""
    after: Card
    steps: int


def run(settings: Sft | Grpo, out: Path, *, offline: bool = False) -> Finished:
    """Runs or resumes what the settings say.

    Raises:
        InputError: `out` holds another run, or the data cannot be used.
        ModelError: the model cannot be tuned, or memory does not suffice.
        WeightsError: weights are missing, or the disk is full.
    """
    # peft asks for it; nobody who trains can do anything about it.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
    processes = PartialState()
    with processes.main_process_first():  # what the first one keeps, the others read
        _claim(settings, out)
        start = starting.load(settings.model, four_bit=settings.lora.four_bit,
                              frozen=settings.method == "lora", offline=offline)  # fmt: skip
        train_set, val_set = _data(start, settings, out)
        before = _before(start, val_set, settings, out)
    try:
        trained = _train(start, train_set, val_set, settings, out)
    except (RuntimeError, OSError, MemoryError, SafetensorError) as error:
        raise _explained(error) from error
    after = _card(start, val_set, settings)
    record = _record(settings, before, after, _steps(out), len(train_set), len(val_set))
    if processes.is_main_process:
        _write(start, settings, trained, out / MODEL)
        _describe(settings, record, out)
    processes.wait_for_everyone()
    return Finished(out / MODEL, before, after, record["steps"])


def _describe(settings: Sft | Grpo, record: dict[str, Any], out: Path) -> None:
    """Record, curves and card; sealed, as nothing of the model changes from here."""
    folder = out / MODEL
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    curves.draw(out)
    (folder / "README.md").write_text(model_card.text(settings, record), encoding="utf-8")
    assembly.seal(folder)


def _claim(settings: Sft | Grpo, out: Path) -> None:
    """Makes the run's folder, or checks that it is the same run's."""
    out.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
    path = out / CONFIG
    if path.is_file() and path.read_text("utf-8") != text:
        raise InputError("output_conflict", f"{out.name} holds a run with other settings",
                         hint="give another --out, or repeat it with its own config")  # fmt: skip
    if not path.is_file() and any(out.iterdir()):
        raise InputError("output_conflict", f"{out.name} is not empty",
                         hint="give another --out")  # fmt: skip
    path.write_text(text, encoding="utf-8")


def _data(start: Start, settings: Sft | Grpo, out: Path) -> tuple[Examples, Examples]:
    data, seed = settings.data, settings.seed
    work = data.cache or out / "data"
    augment = settings.augment if isinstance(settings, Sft) else None
    train = examples.corpus(data.train, "train", work, seed=seed, augment=augment)
    val = examples.corpus(data.val, "val", work, seed=seed)
    if not start.detects:
        if isinstance(settings, Grpo):
            raise ModelError("model_unsupported", f"{settings.model} has no trained detector",
                             hint="give the folder that vlmf train sft made")  # fmt: skip
        if PartialState().num_processes > 1 and not detector_stage.finished(out / "detection"):
            raise ModelError(
                "model_unsupported",
                "the detector is trained by one process",
                hint="run vlmf train sft once without accelerate; it keeps stage A",
            )
        other = settings.detection.augment
        shown = train if other == augment else examples.corpus(
            data.train, "train", work, seed=seed, augment=other)  # fmt: skip
        detector_stage.train(start, shown, val, settings, out / "detection")
    common: dict[str, Any] = {"real": data.real, "seed": seed}
    return (examples.build(start, train, data.samples, work, augment=augment, **common),
            examples.build(start, val, data.val_samples, work, **common))  # fmt: skip


def _before(start: Start, val: Examples, settings: Sft | Grpo, out: Path) -> Card:
    """The starting model's card, kept: after training it cannot be had again."""
    path = out / "before.json"
    if path.is_file():
        return scorecard.from_json(json.loads(path.read_text("utf-8")))
    found = _card(start, val, settings)
    path.write_text(json.dumps(scorecard.as_json(found)), encoding="utf-8")
    return found


def _card(start: Start, val: Examples, settings: Sft | Grpo) -> Card:
    assert start.calibration is not None
    limit = settings.max_tokens if isinstance(settings, Grpo) else 160
    spoken = scorecard.speak(start.model, start.text, val, start.calibration, max_tokens=limit)
    return scorecard.card(spoken, settings.rewards)


def _train(
    start: Start, train: Examples, val: Examples, settings: Sft | Grpo, out: Path
) -> Callable[[Path], None]:
    """Trains in place; gives what writes the LoRA of GRPO."""

    def look() -> float:  # the trainer turns training on again at its next step
        return _card(start, val, settings).reward

    check = Validation(look, settings.check_every, settings.patience, out / VALIDATION)
    watch = [CsvLog(out / LOG), check]
    set_seed(settings.seed)  # LoRA begins at random: a resumed run must begin with the same
    if isinstance(settings, Sft):
        from vlm_forensics.tuning import sft

        sft.adapt(start, settings)
        sft.train(start, train, settings, out, watch)
        return lambda _: None  # `adapters.write` finds the LoRA on the backbone
    from vlm_forensics.tuning import grpo

    policy = grpo.train(start, train, settings, out, watch)
    return lambda folder: adapters.save_policy(policy, folder)


def _explained(error: Exception) -> Exception:
    """Memory and disk as typed errors; anything else as it is."""
    text = "out of memory" if isinstance(error, MemoryError) else str(error)
    if "out of memory" in text or "can't allocate memory" in text:
        return ModelError("out_of_memory", "memory does not suffice for this training",
                          hint="training.batch=1 training.accumulate=8, method=lora, "
                          "training.checkpointing=true, or lora.four_bit=true")  # fmt: skip
    if "No space left" in text or "enforce fail at inline_container" in text:
        return WeightsError("disk_full", "the disk is full; the last checkpoint is whole",
                            hint="make room and repeat the command")  # fmt: skip
    return error


def _steps(out: Path) -> int:
    last = last_checkpoint(out)
    return int(last.rpartition("-")[2]) if last else 0


def _write(
    start: Start, settings: Sft | Grpo, save_lora: Callable[[Path], None], folder: Path
) -> None:
    """What the run made, with the detector's files beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    if settings.method == "full":
        full.write(start, folder)
    else:
        _write_small(start, settings, save_lora, folder)
    assert start.calibration is not None
    assert start.reference is not None
    start.calibration.save(folder / "calibration.json")
    start.reference.save(folder / "reference.json")


def _write_small(
    start: Start, settings: Sft | Grpo, save_lora: Callable[[Path], None], folder: Path
) -> None:
    """The small form over what the run started from; an adapter is joined to the one before it."""
    tokenizer = start.text.tokenizer
    before = Path(settings.model)
    chained = adapters.base_of(before) if before.is_dir() else None
    base = chained or (str(before.resolve()) if before.is_dir() else settings.model)
    adapters.write(start.model, tokenizer, base, folder)
    save_lora(folder / adapters.LORA)
    if chained and (before / adapters.LORA).is_dir():
        joined = folder / "joined"
        adapters.join(before / adapters.LORA, folder / adapters.LORA, joined)
        shutil.rmtree(folder / adapters.LORA)
        joined.rename(folder / adapters.LORA)


def _record(
    settings: Sft | Grpo, before: Card, after: Card, steps: int, train: int, val: int
) -> dict[str, Any]:
    from importlib.metadata import version
    from importlib.util import find_spec

    packages = ("vlm_forensics", "torch", "transformers", "peft", "trl")
    return {
        "settings": settings.model_dump(mode="json"), "steps": steps,
        "examples": {"train": train, "val": val},
        "validation": {"before": scorecard.as_json(before), "after": scorecard.as_json(after)},
        "versions": {name: version(name) for name in packages if find_spec(name)},
    }  # fmt: skip
