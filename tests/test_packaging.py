"""What ships: the wheel, declared dependencies, cards, examples and the README's commands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from PIL import Image

from vlm_forensics import datasets

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")

DISTRIBUTION = {
    "cv2": "opencv-python-headless", "huggingface_hub": "huggingface-hub", "PIL": "pillow",
    "pillow_heif": "pillow-heif", "pywt": "PyWavelets", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "yaml": "PyYAML",
    "pyarrow": "datasets",  # which cannot be without it
}  # fmt: skip
MEGABYTE = 1 << 20


def requirement_names(lines: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ]", line, maxsplit=1)[0] for line in lines}


def imported(folder: Path) -> set[str]:
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"vlm_forensics", "__future__"}


def test_what_the_library_imports_is_declared() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    declared = requirement_names(project["dependencies"])
    for extra in ("demo", "train", "forge"):
        declared |= requirement_names(extras[extra])
    names = {DISTRIBUTION.get(name, name) for name in imported(ROOT / "vlm_forensics")}
    assert not names - declared


def test_dependencies_have_an_upper_bound() -> None:
    assert [line for line in PROJECT["project"]["dependencies"] if "<" not in line] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel: pip install '.[test]'")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return next(out.glob("*.whl"))


def test_wheel_carries_what_runs_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
    for folder in ("prompts", "training", "data_cards"):
        shipped = {name for name in sizes if name.startswith(f"vlm_forensics/_assets/{folder}/")}
        kept = {
            f"vlm_forensics/_assets/{path.relative_to(ROOT).as_posix()}"
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert shipped == kept, folder
    tops = {name.split("/")[0] for name in sizes}
    assert all(top == "vlm_forensics" or top.endswith(".dist-info") for top in tops), tops
    assert "vlm_forensics/py.typed" in sizes
    assert any(name.endswith("licenses/LICENSE") for name in sizes)
    assert any(name.endswith("licenses/NOTICE") for name in sizes)
    weights = {name for name in sizes if name.startswith("vlm_forensics/weights_")}
    assert sum(sizes[name] for name in weights) <= 40 * MEGABYTE
    assert sum(size for name, size in sizes.items() if name not in weights) < 2 * MEGABYTE


def test_wheel_carries_the_trained_weights(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        prefix = "vlm_forensics/weights_mini/"
        names = {n.removeprefix(prefix) for n in archive.namelist() if n.startswith(prefix)}
    assert names >= {"config.json", "calibration.json", "reference.json", "README.md"}
    assert any(name.endswith(".safetensors") for name in names)
    baselines = {f"vlm_forensics/weights_baselines/{name}.safetensors"
                 for name in ("npr_cnn", "dwt_hh_cnn")}  # fmt: skip
    with ZipFile(wheel) as archive:
        assert baselines <= set(archive.namelist())


COMMANDS = re.findall(r"^\$ (python3 -m venv .*)$", README, re.MULTILINE)


def test_readme_gives_two_commands() -> None:
    explain, tests = COMMANDS
    assert (ROOT / explain.split()[-1]).is_file()
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for part in ("-e '.[test,demo,train]'", "python -m pytest"):  # .ci/run does what README says
        assert part in tests
        assert part in run


def links() -> list[tuple[Path, str]]:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md"),
             *ROOT.glob("data_cards/*.md")]  # fmt: skip
    found = []
    for page in pages:
        targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        found += [(page, target) for target in targets if "://" not in target]
    return found


def test_links_lead_somewhere() -> None:
    broken = [f"{page.name}: {to}" for page, to in links() if not (page.parent / to).exists()]
    assert not broken


ROLES = {"train", "val", "test", "left out"}
KEYS = {
    "name", "license", "origin", "role", "sources", "size", "classes", "generators", "masks",
    "explanations", "metadata_auc",
}  # fmt: skip
CARDS = sorted(
    path
    for path in (ROOT / "data_cards").glob("*.md")
    if path.name != "README.md" and path.stem not in datasets.names()
)
"""Of the sources we fitted and tested on; tests/datasets/test_contract.py has the adapters'."""


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem)
def test_card_says_what_must_be_said(card: Path) -> None:
    _, front, text = card.read_text(encoding="utf-8").split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts.keys() >= KEYS, KEYS - facts.keys()
    assert set(facts["role"]) <= ROLES
    assert facts["role"]
    counted = [n for split in facts["size"].values() for n in split.values()]
    assert counted
    assert all(isinstance(n, int) and n > 0 for n in counted)
    assert set(facts["classes"]) == {c for split in facts["size"].values() for c in split}
    assert set(facts["classes"]) <= {"real", "synthetic", "tampered"}
    for heading in ("## What it is", "## Leaks and shortcuts", "## People", "## How to obtain"):
        assert heading in text
    if facts["role"] == ["left out"]:
        assert "## Why it was left out" in text


def test_no_source_has_two_cards() -> None:
    names = [
        name
        for card in CARDS
        for name in yaml.safe_load(card.read_text(encoding="utf-8").split("---\n", 2)[1])["sources"]
    ]
    assert len(names) == len(set(names))
    assert names


def test_card_index_names_every_card() -> None:
    index = (ROOT / "data_cards" / "README.md").read_text(encoding="utf-8")
    assert not [card.name for card in CARDS if f"({card.name})" not in index]


def test_examples_are_small_and_credited() -> None:
    credited = (ROOT / "examples" / "CREDITS.md").read_text(encoding="utf-8")
    pictures = [p for p in (ROOT / "examples").iterdir() if p.suffix != ".md"]
    assert len(pictures) >= 3
    for picture in pictures:
        assert f"`{picture.name}`" in credited
        assert picture.stat().st_size <= 200_000
        with Image.open(picture) as image:
            image.load()
            if picture.name.endswith(".mask.png"):
                of = picture.with_name(picture.name.replace(".mask.png", ".jpg"))
                with Image.open(of) as original:
                    assert original.size == image.size
                low, high = image.getextrema()
                assert (low, high) == (0, 255)


def test_the_recipe_leaves_out_what_the_cards_say() -> None:
    config = ROOT / "training" / "configs" / "vlmf-mini.yaml"
    left_out = set(yaml.safe_load(config.read_text(encoding="utf-8"))["leave_out"])
    fronts = [yaml.safe_load(c.read_text(encoding="utf-8").split("---\n", 2)[1]) for c in CARDS]
    assert left_out == {s for f in fronts if f["role"] == ["left out"] for s in f["sources"]}
