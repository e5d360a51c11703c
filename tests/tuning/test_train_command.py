"""`vlmf train` as a user types it, short of training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from vlm_forensics.cli import app
from vlm_forensics.errors import InputError
from vlm_forensics.tuning import settings

RUNNER = CliRunner()


def output(*arguments: str) -> str:
    ran = RUNNER.invoke(app, ["train", *arguments], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_recipes_are_listed_copied_and_validated(tmp_path: Path) -> None:
    assert set(settings.shipped()) == {line.split()[0] for line in output("list").splitlines()}
    mine = tmp_path / "mine.yaml"
    output("copy", "laptop-grpo", str(mine))
    shown = yaml.safe_load(output("validate", str(mine), "group=4"))
    assert (shown["group"], shown["clip"]) == (4, 0.2)
    for arguments, code in (
        (["copy", "laptop-grpo", str(mine)], "output_conflict"),
        (["copy", "laptop", str(tmp_path / "x")], "not_found"),
        (["validate", str(mine), "gruop=4"], "bad_config"),
        (["sft", "--config", str(mine), "--out", str(tmp_path / "run")], "bad_config"),
    ):
        with pytest.raises(InputError) as refused:
            RUNNER.invoke(app, ["train", *arguments], catch_exceptions=False)
        assert refused.value.code == code
    assert not (tmp_path / "run").exists()


def test_an_estimate_reads_no_weights(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text("{}", encoding="utf-8")
    (tmp_path / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    found = json.loads(output("estimate", "laptop-sft", f"model={tmp_path}", "--json"))
    assert found["parameters"] > found["trained"] > 0
    assert found["memory"] > 0
    more = json.loads(
        output("estimate", "laptop-sft", f"model={tmp_path}", "training.steps=1000", "--json")
    )
    assert more["flops"] == pytest.approx(found["flops"] * 10)
    copies = "augment={copies: 3, transforms: {flip: {}}}"
    kept = json.loads(output("estimate", "laptop-sft", f"model={tmp_path}", copies, "--json"))
    assert (found["views"], kept["views"]) == ([0, 1], [0, 4])
    assert "4 views" in output("estimate", "laptop-sft", f"model={tmp_path}", copies)
    whole, near, far = (
        json.loads(output("estimate", recipe, f"model={tmp_path}", "method=full", *more, "--json"))
        for recipe, *more in (["laptop-sft"], ["laptop-grpo", "kl=0.1"], ["laptop-grpo", "kl=0"])
    )
    assert whole["parameters"] > whole["trained"] > found["trained"]
    assert whole["memory"] > found["memory"]
    assert near["memory"] - far["memory"] == pytest.approx(4 * near["trained"] / 2**30)
    assert "min" in output("estimate", "laptop-sft", f"model={tmp_path}")
