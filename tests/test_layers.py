"""The layers of docs/architecture.md: lower never imports higher, nothing heavy loads early."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vlm_forensics"

LAYERS = (
    {"errors", "taxonomy", "report", "assets", "registry"},
    {"image", "containers", "canonical", "decoding", "sandbox", "metadata", "masks", "prompts",
     "parsing", "calibration", "weights", "fetching", "safety", "conversion", "steps",
     "endpoint", "spending", "kept"},
    {"features", "forge", "datasets", "annotating", "rewards", "transforms"},
    {"model", "backbones"},
    {"adapters", "assembly", "consistency", "detector", "collate", "engine", "engines", "fusion",
     "light_engine", "limits", "probe", "probe_engine", "rationale", "seeing", "training_free",
     "vqa", "wrapping"},
    {"checking", "evaluation", "exporting", "ui", "fitting", "tuning"},
    {"cli"},
)  # fmt: skip
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}

NETWORKS = {"torch", "transformers", "peft"}
"""Never at module level below layer 3: images and measurements must work without them."""
HEAVY = NETWORKS | {
    "accelerate", "cv2", "gguf", "gradio", "huggingface_hub", "numpy", "onnx", "PIL",
    "pillow_heif", "pydantic", "pywt", "safetensors", "scipy", "urllib3", "yaml",
}  # fmt: skip
"""Never at module level of the command line: `vlmf --help` answers at once."""


class Import(NamedTuple):
    """One import statement."""

    where: str
    target: str
    """Dotted name, `vlm_forensics.masks` or `numpy.typing`."""
    at_import: bool
    """It runs when its module is imported: neither in a function nor for type checkers only."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_name(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[Import]:
    found = _walk(ast.parse(path.read_text(encoding="utf-8")), path, at_import=True)
    return list(found)


def _walk(node: ast.AST, path: Path, *, at_import: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        where = f"{path.relative_to(ROOT)}:{getattr(child, 'lineno', 0)}"
        if isinstance(child, ast.Import):
            yield from (Import(where, alias.name, at_import) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{where}: relative import"
            yield from _from(child, where, at_import)
        else:
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from _walk(child, path, at_import=at_import and not (later or typing_only))


def _from(node: ast.ImportFrom, where: str, at_import: bool) -> Iterator[Import]:
    assert node.module
    if node.module == "vlm_forensics":  # `from vlm_forensics import masks` imports the module
        yield from (Import(where, f"vlm_forensics.{alias.name}", at_import) for alias in node.names)
    else:
        yield Import(where, node.module, at_import)


def own_layer(target: str) -> int | None:
    """Layer of an imported name; None for other packages and for names of `__init__`."""
    parts = target.split(".")
    if parts[0] != "vlm_forensics" or len(parts) == 1:
        return None
    return LAYER_OF.get(parts[1])


def test_every_module_has_a_layer() -> None:
    names = {layer_name(path) for path in modules()} - {"__init__"}
    assert not names - set(LAYER_OF), "give the new module a layer here and in docs/architecture.md"


def test_lower_never_imports_higher() -> None:
    wrong = [
        f"{found.where} (layer {LAYER_OF[name]}) imports {found.target} (layer {layer})"
        for path in modules()
        if (name := layer_name(path)) in LAYER_OF
        for found in imports_of(path)
        if (layer := own_layer(found.target)) is not None and layer > LAYER_OF[name]
    ]
    assert not wrong, "\n".join(wrong)


def test_networks_are_not_imported_below_layer_three() -> None:
    wrong = [
        f"{found.where} imports {found.target}"
        for path in modules()
        if LAYER_OF.get(layer_name(path), 0) < 3
        for found in imports_of(path)
        if found.at_import and found.target.split(".")[0] in NETWORKS
    ]
    assert not wrong, "\n".join(wrong)


def test_command_line_imports_nothing_heavy() -> None:
    wrong = [
        f"{found.where} imports {found.target}"
        for path in sorted((PACKAGE / "cli").glob("*.py"))
        for found in imports_of(path)
        if found.at_import and found.target.split(".")[0] in HEAVY
    ]
    assert not wrong, "\n".join(wrong)


def test_the_package_itself_imports_none_of_its_modules() -> None:
    found = imports_of(PACKAGE / "__init__.py")
    assert not [i for i in found if i.at_import and i.target.startswith("vlm_forensics")]


def loaded_after(code: str) -> set[str]:
    """Top-level packages in memory after this code ran in a process of its own."""
    report = "import sys; print('\\n' + ' '.join({name.split('.')[0] for name in sys.modules}))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True, text=True, check=True, env=environment, cwd=ROOT, timeout=120,
    )  # fmt: skip
    return set(answer.stdout.splitlines()[-1].split())


def test_help_loads_neither_arrays_nor_networks() -> None:
    code = (
        "import sys\nfrom vlm_forensics import cli\nsys.argv = ['vlmf', '--help']\n"
        "try: cli.main()\nexcept SystemExit as left: assert not left.code"
    )
    assert not loaded_after(code) & HEAVY


def test_lower_layers_load_without_networks() -> None:
    low = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in modules()
        if LAYER_OF.get(layer_name(path), 9) < 3
    ]
    code = f"import importlib\nfor name in {low}: importlib.import_module(name)"
    assert not loaded_after(code) & NETWORKS


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch", [("torch", True)]),
        ("def f():\n    import torch", [("torch", False)]),
        ("class A:\n    import torch", [("torch", True)]),
        ("if TYPE_CHECKING:\n    from torch import nn", [("torch", False)]),
        ("from vlm_forensics import masks, cli",
         [("vlm_forensics.masks", True), ("vlm_forensics.cli", True)]),
        ("try:\n    import cv2.ximgproc\nexcept ImportError: pass", [("cv2.ximgproc", True)]),
    ],
)  # fmt: skip
def test_imports_are_found(source: str, expected: list[tuple[str, bool]]) -> None:
    found = _walk(ast.parse(source), PACKAGE / "x.py", at_import=True)
    assert [(i.target, i.at_import) for i in found] == expected
