"""What a run shows while it goes on: a CSV of its log, looks at validation, and when to stop."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

log = logging.getLogger(__name__)

LOG = "log.csv"
VALIDATION = "validation.csv"


class CsvLog(TrainerCallback):
    """Writes every logged number as `step, name, value`; a resumed run goes on below its last step.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Drops what a killed run logged after the checkpoint it goes on from."""
        rows = [row for row in read(self.path) if row[0] <= state.global_step]
        write(self.path, rows)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """One row a number."""
        if not state.is_world_process_zero:
            return
        numbers = {k: v for k, v in kwargs.get("logs", {}).items() if isinstance(v, int | float)}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([state.global_step, k, v] for k, v in numbers.items())


class Validation(TrainerCallback):
    """Looks at validation answers every so often, and stops a run that has stopped to help.

    With the training reward still rising, a validation reward that does not is what reward
    hacking looks like from outside.

    Args:
        look: the mean weighted reward on validation.
        every: steps between two looks; 0 for none.
        patience: looks in a row without a better one after which the run stops.
        path: CSV of what was seen.
    """

    def __init__(self, look: Callable[[], float], every: int, patience: int, path: Path) -> None:
        self.look, self.every, self.patience, self.path = look, every, patience, path

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Looks, and asks for a stop where it is due."""
        if not self.every or state.global_step % self.every:
            return
        rows = [row for row in read(self.path) if row[0] < state.global_step]
        rows.append((state.global_step, "validation_reward", self.look()))
        if state.is_world_process_zero:
            write(self.path, rows)
        if _stale(rows, self.patience):
            log.warning("stopped at step %d: no better validation reward since step %d",
                        state.global_step, rows[_best(rows)][0])  # fmt: skip
            control.should_training_stop = True
            control.should_save = True


def _best(rows: list[tuple[int, str, float]]) -> int:
    values = [value for _, _, value in rows]
    return values.index(max(values))


def _stale(rows: list[tuple[int, str, float]], patience: int) -> bool:
    return len(rows) - 1 - _best(rows) >= patience


def over(out: Path, patience: int) -> bool:
    """Nothing of a run is left to train: its steps are done, or validation has stopped it.

    A trainer that went on from such a checkpoint would take a step more before it looks.
    """
    last = last_checkpoint(out)
    if last is None:
        return False
    state = json.loads((Path(last) / "trainer_state.json").read_text("utf-8"))
    step = int(state["global_step"])
    looks = [row for row in read(out / VALIDATION) if row[0] <= step]
    stopped = bool(looks) and looks[-1][0] == step and _stale(looks, patience)
    return stopped or step >= int(state["max_steps"])


def last_checkpoint(out: Path) -> str | None:
    """The newest whole checkpoint of a run; one that was cut off in saving is passed over.

    transformers writes `trainer_state.json` last.
    """
    numbered = sorted(out.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return next((str(path) for path in reversed(numbered) if _whole(path)), None)


def _whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True


def read(path: Path) -> list[tuple[int, str, float]]:
    """The rows of a log; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [(int(step), name, float(value)) for step, name, value in csv.reader(file)]


def write(path: Path, rows: list[tuple[int, str, float]]) -> None:
    """Replaces a log."""
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    part.replace(path)
