"""A run's model as a folder of its own: the small form, or base weights and LoRA in one."""

from __future__ import annotations

import shutil
from pathlib import Path

from vlm_forensics import assembly
from vlm_forensics.errors import InputError
from vlm_forensics.tuning.run import MODEL


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
    for name in ("README.md", "training.json"):
        if merged and (model / name).is_file():
            shutil.copy2(model / name, out / name)
    if merged:
        assembly.seal(out)
    return out
