"""What ruff does not check: sizes, and that training scripts stand alone."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_MODULE, MAX_FUNCTION, MAX_SCRIPT = 400, 80, 150

LONG_MODULES: dict[str, str] = {}
"""Modules above 400 lines, each with the reason why it is not split."""


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_modules_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines(path)
        for path in sources("vlm_forensics")
        if lines(path) > MAX_MODULE
    }
    assert long.keys() == LONG_MODULES.keys(), long


def test_functions_are_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for folder in ("vlm_forensics", "training", "demo", "benchmarks")
        for path in sources(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION
    ]
    assert not long, "\n".join(long)


def test_library_does_not_print() -> None:
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("vlm_forensics")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"print", "pprint", "breakpoint"}
    ]
    assert not printing, "\n".join(printing)


def test_training_scripts_are_thin_and_stand_alone() -> None:
    scripts = sources("training")
    siblings = {path.stem for path in scripts} | {"training"}
    for path in scripts:
        assert lines(path) <= MAX_SCRIPT, path.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path.name}:{node.lineno}"
                names = {(node.module or "").split(".")[0]}
            else:
                continue
            assert not names & siblings, f"{path.name}:{node.lineno} imports a sibling"
