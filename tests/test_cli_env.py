"""`vlmf env` and `vlmf models` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from safetensors.numpy import save_file
from typer.testing import CliRunner

from vlm_forensics import weights
from vlm_forensics.cli import env, models
from vlm_forensics.errors import WeightsError

run = CliRunner()
app = typer.Typer()
app.add_typer(models.app, name="models")
app.command()(env.env)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and the network forbidden."""
    monkeypatch.setenv("VLMF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VLMF_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "cache"


@pytest.fixture
def part(cache: Path, tmp_path: Path) -> Path:
    """A cached part made by the code that makes real ones, without its source."""
    folder = weights._folder("vit-s14-focus")
    folder.mkdir(parents=True)
    save_file({"w": np.ones(4, np.float32)}, folder / "model.safetensors")
    weights._write_manifest("vit-s14-focus", folder, "wheel:test")
    assert cache in folder.parents
    assert tmp_path in folder.parents
    return folder


def test_choices_are_the_known_names() -> None:
    assert {choice.value for choice in models.Choice} == {models.DEFAULT, *weights.NAMES}


def test_list_tells_cached_from_damaged_and_missing(part: Path) -> None:
    lines = run.invoke(app, ["models", "list"]).stdout.splitlines()
    states = {line.split("  ")[0]: line for line in lines[1:]}
    assert "not fetched" in states["smollm2-135m"]
    assert "98 MB" in states["smollm2-135m"]
    assert "cached" in states["vit-s14-focus"]
    (part / "model.safetensors").write_bytes(b"")
    assert "damaged" in run.invoke(app, ["models", "list"]).stdout


def test_info_prints_digests_and_check_finds_a_bit_flip(part: Path) -> None:
    asked = ["models", "info", "vit-s14-focus", "--check", "--json"]
    facts = json.loads(run.invoke(app, asked).stdout)
    assert facts["state"] == "cached"
    assert facts["checked"] is True
    assert facts["files"] == weights.digests(part)

    content = bytearray((part / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (part / "model.safetensors").write_bytes(content)
    error = run.invoke(app, asked).exception
    assert isinstance(error, WeightsError)
    assert error.code == "weights_corrupt"


def test_info_of_the_built_in_model_lists_its_parts(
    part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "mini_folder", lambda: None)
    facts = json.loads(run.invoke(app, ["models", "info", "vlmf-mini", "--json"]).stdout)
    assert facts["state"] == "not installed"
    assert facts["parts"] == {"smollm2-135m": "not fetched", "vit-s14-focus": "cached"}

    (part / "config.json").write_text('{"model_type": "mini"}')
    monkeypatch.setattr(weights, "mini_folder", lambda: part)
    shown = run.invoke(app, ["models", "info", "vlmf-mini"]).stdout
    assert "state: installed" in shown
    assert weights.digests(part)["config.json"] in shown


def test_fetch_uses_the_cache_and_is_typed_without_it(part: Path) -> None:
    done = run.invoke(app, ["models", "fetch", "vit-s14-focus", "--offline"])
    assert done.stdout == f"vit-s14-focus\t{part}\n"
    error = run.invoke(app, ["models", "fetch"]).exception
    assert isinstance(error, WeightsError)
    assert error.code == "weights_missing"
    assert run.invoke(app, ["models", "fetch", "--force", "--offline"]).exit_code == 2
    assert run.invoke(app, ["models", "info", "gpt-9"]).exit_code == 2


def test_env_names_versions_devices_and_cache(part: Path, cache: Path) -> None:
    facts = json.loads(run.invoke(app, ["env", "--json"]).stdout)
    assert set(facts["packages"]) == set(env.PACKAGES)
    assert facts["packages"]["numpy"] == np.__version__
    assert isinstance(facts["devices"]["cuda"], list)
    assert facts["devices"]["torch_threads"] >= 1
    assert facts["cache"] == {
        "folder": str(cache),
        "bytes": weights.folder_bytes(part),
        "cached": ["vit-s14-focus"],
        "offline": True,
    }


def test_env_says_how_to_remove_a_broken_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "site" / "torchvision"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms missing')")
    monkeypatch.syspath_prepend(str(broken.parent))
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    monkeypatch.setattr(env, "_devices", lambda: {"cuda": [], "mps": False, "torch_threads": 1})
    shown = run.invoke(app, ["env"]).stdout
    assert "state: broken" in shown
    assert "operator torchvision::nms missing" in shown
    assert "pip uninstall torchvision" in shown


def test_env_survives_a_torch_that_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "_DEVICE_PROBE", "import os; os.abort()")
    assert "torch cannot be used" in env._devices()["error"]
