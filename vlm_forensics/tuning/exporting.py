"""A run's model as a folder of its own: the small form, or base weights and LoRA in one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from vlm_forensics import assembly
from vlm_forensics.errors import InputError
from vlm_forensics.tuning.model_card import shown
from vlm_forensics.tuning.run import MODEL, RECORD


def export(run: Path, out: Path, *, merged: bool, offline: bool = False) -> Path:
    """Copies the model of a finished run.

    Raises:
        InputError: the run has no model yet, or `out` holds something.
        WeightsError: base weights are missing, or a file was changed.
    """
    model = run / MODEL if (run / MODEL).is_dir() else run
    if not (model / assembly.SEAL).is_file():
        raise InputError("not_found", f"{run.name} holds no finished model",
                         hint="repeat its vlmf train command; it goes on")  # fmt: skip
    if out.exists() and any(out.iterdir()):
        raise InputError("output_conflict", f"{out.name} is not empty", hint="give another --out")
    source = assembly.model_folder(model, offline=offline) if merged else model
    shutil.copytree(source, out, dirs_exist_ok=True)
    for name in ("README.md", RECORD):
        if merged and (model / name).is_file():
            shutil.copy2(model / name, out / name)
    _forget_folders(out / RECORD)
    assembly.seal(out)
    return out


def _forget_folders(record: Path) -> None:
    """Reduces the folders of the run's record to their names: an export is made to be passed on."""
    if record.is_file():
        found = json.loads(record.read_text("utf-8"))
        found["settings"] = shown(found["settings"])
        record.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
