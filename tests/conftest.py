"""What every test gets: a cache of its own, no settings of the machine, no network."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

# Read when torch and OpenMP load; idle threads that spin slow shared machines threefold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SETTINGS = (
    "HF_HUB_OFFLINE", "VLMF_CACHE", "VLMF_FORGE_WEIGHTS", "VLMF_MODEL", "VLMF_NO_PROGRESS",
    "VLMF_OFFLINE",
)  # fmt: skip
LOCAL = {"127.0.0.1", "::1", "localhost", "0.0.0.0", ""}


@pytest.fixture(autouse=True)
def isolated(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Tests see no cache, setting or network of this machine; those marked `model` do."""
    if request.node.get_closest_marker("model"):
        request.getfixturevalue("base_weights")
        return
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VLMF_CACHE", str(tmp_path_factory.mktemp("cache")))
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and str(address[0]) not in LOCAL:
            raise ConnectionRefusedError(f"tests have no network: {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)


@pytest.fixture(scope="session")
def base_weights() -> dict[str, Path]:
    """Folders of the built-in model's base weights, fetched once into the user's cache.

    Without them the test is skipped; with CI set, it fails.
    """
    from vlm_forensics import weights
    from vlm_forensics.errors import WeightsError

    try:
        return {name: weights.resolve(name, progress=False) for name in weights.NAMES}
    except WeightsError as error:
        reason = f"base weights cannot be had: {error.message} ({error.code}); {error.hint}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
