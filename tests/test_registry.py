"""Plug-ins are found by their file names, and an unknown name is answered with the likely one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlm_forensics.errors import InputError
from vlm_forensics.registry import Registry, suggestion

PLUGIN = "class {name}(dict):\n    'One.'\n"


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[dict[str, int]]]:
    folder = tmp_path / "made_plugins"
    folder.mkdir()
    for name in ("__init__", "base", "_shared", "pear", "apple"):
        (folder / f"{name}.py").write_text(PLUGIN.format(name="Plugin"))
    (folder / "empty.py").write_text("from made_plugins.apple import Plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry("made_plugins", dict, "fruit", besides={"base"})
    for name in [name for name in sys.modules if name.startswith("made_plugins")]:
        del sys.modules[name]


def test_public_modules_are_listed_and_none_is_imported(plugins: Registry[dict[str, int]]) -> None:
    assert plugins.names == ("apple", "empty", "pear")
    assert "made_plugins.apple" not in sys.modules


def test_a_plugin_is_made_from_its_own_module(plugins: Registry[dict[str, int]]) -> None:
    assert type(plugins.get("pear")).__module__ == "made_plugins.pear"
    with pytest.raises(TypeError, match="'empty' holds no fruit"):
        plugins.get("empty")  # what it imports is not its own


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Appel", "did you mean apple?"), ("zzz", "there are apple, empty, pear")],
)
def test_an_unknown_name_is_typed(plugins: Registry[dict[str, int]], name: str, hint: str) -> None:
    with pytest.raises(InputError, match="no fruit is called") as caught:
        plugins.get(name)
    assert (caught.value.code, caught.value.hint) == ("unknown_fruit", hint)


def test_the_listing_can_be_replaced() -> None:
    assert suggestion("zzz", ("apple",), "see the list") == "see the list"
