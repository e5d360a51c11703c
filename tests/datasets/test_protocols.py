"""A published protocol must name a split that its dataset has."""

from __future__ import annotations

from pathlib import Path

import pytest
from layouts import layouts

from vlm_forensics import datasets
from vlm_forensics.evaluation import protocols

LAYOUTS = layouts()
UNSEEN = {"so-fake"}
"""Its made layout has no validation shard, which the published set has."""
READ = [
    name for name in protocols.names()
    if protocols.load(name).dataset in LAYOUTS and name not in UNSEEN
]  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_protocol_names_a_split_of_its_dataset(name: str, tmp_path: Path) -> None:
    protocol = protocols.load(name)
    LAYOUTS[protocol.dataset].make(tmp_path / "data")
    splits = {s.split for s in datasets.open_dataset(tmp_path / "data", protocol.dataset).samples}
    assert protocol.split in {*splits, "all"}
