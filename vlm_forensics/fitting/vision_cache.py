"""Hidden states of the frozen vision tower, computed once per picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from vlm_forensics.model.inputs import to_tensor, vision_input
from vlm_forensics.model.precision import mixed

if TYPE_CHECKING:
    from vlm_forensics.model.modeling import VlmForensicsModel

_BATCH = 32


Read = Callable[[NDArray[np.uint8]], NDArray[np.float16]]
"""Hidden states `[B, layers, 1 + P, hidden]` of pictures `[B, h, w, 3]`."""


def cache(read: Read, rgb: NDArray[np.uint8], out: Path) -> NDArray[np.float16]:
    """What `read` gives for all pictures; resumes where an earlier run stopped."""
    from rich.progress import track

    progress = out.with_suffix(".done")
    done = int(progress.read_text()) if progress.is_file() else 0
    states = None if done == 0 else np.lib.format.open_memmap(out, "r+")
    for start in track(range(done, len(rgb), _BATCH), "vision tower"):
        batch = read(np.asarray(rgb[start : start + _BATCH]))
        if states is None:
            out.parent.mkdir(parents=True, exist_ok=True)
            states = np.lib.format.open_memmap(out, "w+", np.float16, (len(rgb), *batch.shape[1:]))
        states[start : start + len(batch)] = batch
        progress.write_text(str(start + len(batch)))
    return np.asanyarray(np.load(out, mmap_mode="r"), np.float16)


def of_tower(tower: nn.Module, layers: Sequence[int], size: int) -> Read:
    """Reads a tower that stands alone."""

    def states(rgb: NDArray[np.uint8]) -> Sequence[torch.Tensor]:
        pixels = vision_input(to_tensor(rgb), size)
        found: Sequence[torch.Tensor] = tower(
            pixel_values=pixels, output_hidden_states=True
        ).hidden_states
        return found

    return _reader(states, layers)


def of_model(model: VlmForensicsModel) -> Read:
    """Reads the tower of an assembled model, whatever its family."""

    def states(rgb: NDArray[np.uint8]) -> Sequence[torch.Tensor]:
        pixels = model.pixels(to_tensor(rgb).to(model.device))
        return model.family.see(model.backbone, pixels).states

    return _reader(states, model.config.shallow_layers)


def _reader(
    states: Callable[[NDArray[np.uint8]], Sequence[torch.Tensor]], layers: Sequence[int]
) -> Read:
    def read(rgb: NDArray[np.uint8]) -> NDArray[np.float16]:
        with torch.inference_mode(), mixed():
            seen = states(rgb)
        stacked = torch.stack([seen[layer] for layer in layers], 1)
        return np.asarray(stacked.to(torch.float16).cpu().numpy())

    return read


class CachedTower(nn.Module):
    """Stands in for the vision tower while training: `pixel_values` are its cached hidden states.

    Args:
        layers: which hidden states the cache holds, in order.
    """

    def __init__(self, layers: Sequence[int]) -> None:
        super().__init__()
        self.layers = tuple(layers)

    def forward(self, pixel_values: torch.Tensor, **_: object) -> BaseModelOutput:
        """`[B, len(layers), 1 + P, hidden]` → the hidden states at their usual places."""
        states = {layer: pixel_values[:, i] for i, layer in enumerate(self.layers)}
        blank = pixel_values.new_zeros(0)
        filled = tuple(states.get(i, blank) for i in range(max(self.layers) + 1))
        return BaseModelOutput(last_hidden_state=filled[-1], hidden_states=filled)
