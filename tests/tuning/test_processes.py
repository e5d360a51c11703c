"""Two processes through gloo take the same steps as one with the same batch in all."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vlm_forensics.tuning import run, settings, watching

ROOT = Path(__file__).parents[2]


def launch(out: Path, changes: list[str]) -> None:
    """Two processes, as `accelerate launch` starts them."""
    command = [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(ROOT / "training/accelerate/cpu_ddp.yaml"),
        "--main_process_port", "0", str(ROOT / "training/sft.py"), "--config", "laptop-sft",
        "--out", str(out), *changes,
    ]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False,
                         env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]


def losses(out: Path) -> list[float]:
    return [value for _, name, value in watching.read(out / watching.LOG) if name == "loss"]


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
@pytest.mark.parametrize("sampler", ["shuffled", "momentum_difficulty"])
def test_two_processes_give_the_loss_of_one(
    sampler: str, tiny_folder: Path, pictures: Callable[[str], Path], tmp_path: Path
) -> None:
    common = [
        f"model={tiny_folder}", f"data.train=[{pictures('train')}]",
        f"data.val=[{pictures('val')}]", f"data.cache={tmp_path / 'cache'}", "data.samples=6",
        "data.val_samples=6", "training.steps=3", "lora.rank=2", "lora.dropout=0.0",
        "losses={language: 1.0}", f"sampler={sampler}",
    ]  # fmt: skip
    run.run(settings.read("laptop-sft", [*common, "training.batch=2"]), tmp_path / "one")
    launch(tmp_path / "two", [*common, "training.batch=1"])
    alone, together = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(alone) == len(together) == 3
    # A process averages over its own answer tokens, so short answers weigh a little more.
    assert together == pytest.approx(alone, rel=0.05)
    assert (tmp_path / "two" / "model" / "digests.json").is_file()
    if sampler != "shuffled":
        first, second = (averages(tmp_path / name) for name in ("one", "two"))
        assert second == pytest.approx(first, rel=0.02, nan_ok=True)
        assert sum(not math.isnan(value) for value in second) > 1


def averages(out: Path) -> list[float]:
    """What the sampler knew of every example at the end; the losses of both processes are in it."""
    found = json.loads((out / "checkpoint-3" / "trainer_state.json").read_text("utf-8"))
    state = found["stateful_callbacks"]["SamplerState"]["attributes"]
    return [math.nan if value is None else value for value in state["average"]]
