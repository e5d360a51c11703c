"""The list of further sources, and the script that brings their pictures."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "docs" / "extra.csv"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "extra_sources", ROOT / "training" / "extra_sources.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def git(*arguments: str, at: Path, data: bytes | None = None) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", *identity, *arguments]
    return (
        subprocess.run(command, cwd=at, input=data, capture_output=True, check=True)
        .stdout.decode()
        .strip()
    )


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """A bare clone with one file, `one`."""
    place = tmp_path / "copies" / "some+where" / "repo"
    place.mkdir(parents=True)
    git("init", "--bare", ".", at=place)
    git("hash-object", "-w", "--stdin", at=place, data=b"one")
    return tmp_path / "copies"


def row(name: str, blob: str) -> dict[str, str]:
    return {"path": f"s/real/{name}.jpg", "label": "real", "split": "train", "source": "s",
            "generator": "", "repository": "some/where", "blob": blob}  # fmt: skip


def test_it_brings_what_has_the_right_id_and_counts_the_rest(
    script: ModuleType, copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    there = git("hash-object", "--stdin", at=tmp_path, data=b"one")
    absent = git("hash-object", "--stdin", at=tmp_path, data=b"two")
    monkeypatch.setattr(script, "listed", lambda: [row("a", there), row("b", absent)])
    for _ in range(2):  # the second run finds it done
        script.main(["--out", str(tmp_path / "out"), "--copies", str(copies)])
        assert "1 of 2 pictures; missing: {'some/where': 1}" in capsys.readouterr().out
    assert (tmp_path / "out" / "s" / "real" / "a.jpg").read_bytes() == b"one"
    with (tmp_path / "out" / "index.csv").open(newline="", encoding="utf-8") as file:
        assert [found["path"] for found in csv.DictReader(file)] == ["s/real/a.jpg"]


def test_the_list_fits_the_cards(script: ModuleType) -> None:
    rows = script.listed()
    assert len({found["path"] for found in rows}) == len(rows)
    roles = {}
    for card in (ROOT / "data_cards").glob("*.md"):
        parts = card.read_text(encoding="utf-8").split("---\n", 2)
        facts = yaml.safe_load(parts[1]) if len(parts) == 3 else {}
        roles |= dict.fromkeys(facts.get("sources", []), facts.get("role", []))
    assert not {f["source"] for f in rows if f["split"] not in roles.get(f["source"], [])}
    assert {found["label"] for found in rows} <= {"real", "synthetic"}
