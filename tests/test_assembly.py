"""What is known of a model folder before any weight is read."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from vlm_forensics import assembly, probe, weights
from vlm_forensics.errors import WeightsError
from vlm_forensics.model import light


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / assembly.TRAINED).write_bytes(b"tensors")
    assembly.seal(folder)
    return folder


def test_nothing_is_at_hand_in_an_empty_cache(trained: Path, tmp_path: Path) -> None:
    assert not assembly.at_hand(assembly.MINI)
    assert not assembly.at_hand(trained)
    assert not assembly.at_hand(tmp_path / "missing")


def test_an_assembled_model_is_at_hand_and_found_without_reading_it(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = assembly._assembled(trained, assembly._sealed)
    out.mkdir(parents=True)
    assembly.seal(out)
    assert assembly.assemble(trained, offline=True) == out
    monkeypatch.setattr(weights, "digests", lambda _: pytest.fail("read"))
    assert assembly.at_hand(trained)


def test_a_whole_model_is_at_hand(trained: Path) -> None:
    (trained / assembly.TRAINED).unlink()
    assert assembly.at_hand(trained)


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [(probe.VISION, False), ("some/hub-model", False), ("here", True)],
)
def test_a_probe_is_at_hand_with_its_encoder(trained: Path, encoder: str, expected: bool) -> None:
    config = probe.ProbeConfig(
        encoder=str(trained) if expected else encoder, digests={}, layer=1, prefix_tokens=0,
        size=14, mean=(0, 0, 0), std=(1, 1, 1),
    )  # fmt: skip
    (trained / "config.json").write_text(config.model_dump_json(indent=1))
    assert assembly.at_hand(trained) is expected


@pytest.fixture
def assembled(trained: Path) -> Path:
    """An assembled folder in the cache; its model is none that the light graph is of."""
    folder = assembly._assembled(trained, assembly._sealed)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"backbone_config": {}}')
    assembly.seal(folder)
    return folder


def test_a_graph_is_tried_once_where_it_cannot_be(
    trained: Path, assembled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly.assemble(trained)
    assert assembly.light_graph(assembled) is None
    monkeypatch.setattr(assembly, "_write_graph", lambda *_: pytest.fail("tried again"))
    assembly.assemble(trained)


def test_a_model_that_only_loads_whole_is_assembled(
    trained: Path, assembled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise KeyError("embeddings.cls_token")

    monkeypatch.setattr(light, "fits", lambda _: True)
    monkeypatch.setattr(light, "load", lacking)
    assert assembly.assemble(trained) == assembled
    assert assembly.light_graph(assembled) is None


def test_a_graph_is_sealed(trained: Path, assembled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "_write_graph", lambda _, to: (to / "g.onnx").write_bytes(b"g"))
    assembly.assemble(trained)
    graph = assembly.light_graph(assembled)
    assert graph is not None
    assert graph.read_bytes() == b"g"
    graph.write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"g\.onnx"):
        assembly.light_graph(assembled)


def test_a_cache_that_cannot_be_written_does_without(
    trained: Path, assembled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(assembly, "_write_graph", full)
    assert assembly.assemble(trained) == assembled
    assert assembly.light_graph(assembled) is None


def test_a_graph_beside_another_folder_is_not_read(tmp_path: Path) -> None:
    elsewhere = tmp_path / "model"
    beside = assembly._light_folder(elsewhere)
    beside.mkdir()
    (beside / "light.onnx").write_bytes(b"g")
    assembly.seal(beside)
    assert assembly.light_graph(elsewhere) is None
