"""What every dataset adapter must do, on a tiny made dataset in its real layout."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import BOX, Expected, layouts
from typer.testing import CliRunner

from vlm_forensics import datasets
from vlm_forensics.cli import data
from vlm_forensics.datasets.base import Blob
from vlm_forensics.datasets.building import build
from vlm_forensics.datasets.cards import read_card
from vlm_forensics.datasets.indexed import read_index
from vlm_forensics.datasets.pixels import decoding_fault, read_mask, read_pixels

LAYOUTS = layouts()
NAMES = sorted(LAYOUTS)
DAMAGES = [(name, damage) for name in NAMES for damage in LAYOUTS[name].DAMAGES]


@pytest.fixture
def made(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, Path, list[Expected]]:
    name = request.param
    root = tmp_path / name
    return name, root, LAYOUTS[name].make(root)


every_layout = pytest.mark.parametrize("made", NAMES, indirect=True)


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_every_adapter_has_a_layout_and_every_layout_an_adapter() -> None:
    assert tuple(NAMES) == datasets.names()


@pytest.mark.parametrize("name", datasets.names())
def test_an_adapter_is_described(name: str) -> None:
    adapter = datasets.get(name)
    assert adapter.name == name
    assert adapter.title
    assert adapter.__doc__
    card = read_card(name)
    assert card.classes
    assert all((card.license, card.size, card.leaks, card.consent, card.obtain, card.layout_seen))
    assert "## What it is" in card.text
    assert "## Layout" in card.text
    json.dumps(card.model_dump(mode="json"))


@every_layout
def test_the_layout_is_known_without_its_name(made: tuple[str, Path, Any]) -> None:
    name, root, _ = made
    assert datasets.find(root).name == name
    specific = [a.name for a in datasets.all_adapters() if not a.generic and a.probe(root)]
    assert specific == ([] if datasets.get(name).generic else [name])


@every_layout
def test_every_sample_is_found(made: tuple[str, Path, list[Expected]]) -> None:
    name, root, expected = made
    listing = datasets.open_dataset(root)
    found = [
        Expected(s.label, s.split, s.has_mask, s.generator, s.explanation) for s in listing.samples
    ]
    assert Counter(found) == Counter(expected)
    assert listing.name == name
    assert not listing.skipped
    assert {s.label for s in listing.samples} <= set(read_card(name).classes)
    assert read_card(name).masks or not any(s.has_mask for s in listing.samples)
    assert read_card(name).explanations or not any(s.explanation for s in listing.samples)


@every_layout
def test_samples_are_told_apart_and_come_in_order(made: tuple[str, Path, Any]) -> None:
    name, root, _ = made
    samples = datasets.get(name).read(root).samples
    ids = [sample.id for sample in samples]
    assert len(set(ids)) == len(ids)
    assert all(ids)
    assert all(sample.source for sample in samples)
    assert not any(str(root) in sample.id for sample in samples)
    assert datasets.get(name).read(root).samples == samples
    assert pickle.loads(pickle.dumps(samples)) == samples  # workers of a loader get them so
    facts = [{k: v for k, v in asdict(s).items() if k not in ("path", "masks", "original")}
             for s in samples]  # fmt: skip
    json.dumps(facts)


@every_layout
def test_pixels_and_masks_can_be_read(made: tuple[str, Path, Any]) -> None:
    name, root, _ = made
    for sample in datasets.get(name).read(root).samples:
        assert isinstance(sample.path, Blob)
        pixels = read_pixels(sample.path)
        assert pixels.shape[2] == 3
        mask = read_mask(sample, *pixels.shape[:2])
        assert mask.shape == pixels.shape[:2]
        assert decoding_fault(sample) is None
        if sample.masks:
            marked = np.zeros(mask.shape, bool)
            marked[BOX] = True
            assert np.array_equal(mask, marked)


@pytest.mark.parametrize(("name", "damage"), DAMAGES,
                         ids=[f"{n}-{d.__name__}" for n, d in DAMAGES])  # fmt: skip
def test_damage_is_reported_and_nothing_else_is_lost(
    name: str, damage: Any, tmp_path: Path
) -> None:
    root, out = tmp_path / name, tmp_path / "out"
    expected = LAYOUTS[name].make(root)
    code = damage(root)
    built = build(datasets.get(name).read(root), out, "test")
    assert built.listing.skipped_counts() == {code.value: 1}
    (skipped,) = built.listing.skipped
    assert skipped.where
    assert skipped.why
    assert str(tmp_path) not in skipped.where + skipped.why
    lost = getattr(damage, "loses", 1)
    assert len(built.listing.samples) == len(expected) - lost
    assert code.value in (out / "skipped.csv").read_text()


@every_layout
def test_a_built_folder_says_the_same(
    made: tuple[str, Path, list[Expected]], tmp_path: Path
) -> None:
    name, root, expected = made
    before = files(root)
    listing = datasets.get(name).read(root)
    built = build(listing, tmp_path / "out", "test")
    assert files(root) == before
    again = datasets.open_dataset(tmp_path / "out")
    assert again.name == "indexed"
    assert len(read_index(tmp_path / "out")) == len(expected)
    for old, new in zip(listing.samples, again.samples, strict=True):
        assert new.path.read_bytes() == old.path.read_bytes()
        assert [m.read_bytes() for m in new.masks] == [m.read_bytes() for m in old.masks]
        for field in ("label", "source", "generator", "id", "category", "explanation",
                      "artifacts", "boxes"):  # fmt: skip
            assert getattr(new, field) == getattr(old, field), field
        assert new.split == (old.split or "test")
    assert built.resumed == 0


@every_layout
def test_the_command_builds_it(made: tuple[str, Path, list[Expected]], tmp_path: Path) -> None:
    name, root, expected = made
    ran = CliRunner().invoke(data.app, ["build", str(root), "--out", str(tmp_path / "o"), "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert (told["dataset"], told["samples"], told["skipped"]) == (name, len(expected), {})


@pytest.mark.parametrize("name", NAMES)
def test_the_command_names_what_it_skipped(name: str, tmp_path: Path) -> None:
    LAYOUTS[name].make(tmp_path / name)
    code = LAYOUTS[name].DAMAGES[0](tmp_path / name)
    ran = CliRunner().invoke(
        data.app, ["build", str(tmp_path / name), "--out", str(tmp_path / "o")]
    )
    assert ran.exit_code == 3
    assert f"skipped 1: 1 {code.value}" in ran.stderr
