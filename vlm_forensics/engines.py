"""Which engine runs a model, and its loading in the background."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vlm_forensics import assembly, probe

if TYPE_CHECKING:
    from vlm_forensics.engine import Engine
    from vlm_forensics.light_engine import LightEngine
    from vlm_forensics.probe_engine import ProbeEngine

AnyEngine: TypeAlias = "Engine | LightEngine | ProbeEngine"


def start_loading(folder: Path, *, rationale: bool, light: bool) -> Future[AnyEngine]:
    """Begins to load the model in this folder; the arguments are those of `Detector`."""
    whole = partial(_load, rationale=rationale, light=light)
    pool = ThreadPoolExecutor(1, thread_name_prefix="vlmf-load")
    future = pool.submit(_load_probe if probe.is_probe(folder) else whole, folder)
    pool.shutdown(wait=False)
    return future


def _load_probe(folder: Path) -> AnyEngine:
    from vlm_forensics.probe_engine import ProbeEngine

    return ProbeEngine.load(folder)


def _load(folder: Path, *, rationale: bool, light: bool) -> AnyEngine:
    if light and not rationale and (found := _light_engine(folder)):
        return found
    from vlm_forensics.engine import Engine

    return Engine.load(folder, language=rationale)


def _light_engine(folder: Path) -> LightEngine | None:
    """The model without torch, where that was made and does not leave a GPU idle."""
    from vlm_forensics.light_engine import LightEngine, preferred

    graph = assembly.light_graph(folder) if preferred() else None
    return None if graph is None else LightEngine.load(graph)
