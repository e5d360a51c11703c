"""Hidden states of the frozen vision tower, computed once per picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from vlm_forensics.model.inputs import to_tensor, vision_input

_BATCH = 32


def cache(
    tower: nn.Module, rgb: NDArray[np.uint8], layers: Sequence[int], size: int, out: Path
) -> NDArray[np.float16]:
    """`[N, len(layers), 1 + P, hidden]` of the pictures; resumes where an earlier run stopped."""
    from rich.progress import track

    progress = out.with_suffix(".done")
    done = int(progress.read_text()) if progress.is_file() else 0
    states = None if done == 0 else np.lib.format.open_memmap(out, "r+")
    for start in track(range(done, len(rgb), _BATCH), "vision tower"):
        batch = _states(tower, np.asarray(rgb[start : start + _BATCH]), layers, size)
        if states is None:
            out.parent.mkdir(parents=True, exist_ok=True)
            states = np.lib.format.open_memmap(out, "w+", np.float16, (len(rgb), *batch.shape[1:]))
        states[start : start + len(batch)] = batch
        progress.write_text(str(start + len(batch)))
    return np.asanyarray(np.load(out, mmap_mode="r"), np.float16)


@torch.inference_mode()
def _states(
    tower: nn.Module, rgb: NDArray[np.uint8], layers: Sequence[int], size: int
) -> NDArray[np.float16]:
    with torch.autocast("cpu", torch.bfloat16):
        seen = tower(pixel_values=vision_input(to_tensor(rgb), size), output_hidden_states=True)
    stacked = torch.stack([seen.hidden_states[layer] for layer in layers], 1)
    return np.asarray(stacked.to(torch.float16).numpy())


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
