"""How far a frozen embedding moves under a small disturbance: RIGID and its variant with a blur.

The embedding `f` is the class token of the last hidden state that the detection adapter reads; the
disturbance is laid over the tower's own input, an ImageNet-normalised square. The papers use
DINOv2-large, so this shows what the idea is worth on our small tower, not what they report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vlm_forensics.engine import Engine

DRAWS = 3
NOISE = 0.05
"""Standard deviation of the noise, in units of the normalised input (about 0.011 of full scale)."""
BLUR = 3, 0.8
"""Side of the Gaussian kernel and its standard deviation, pixels of the tower's input."""

States = Callable[[Any], Sequence[Any]]
"""Hidden states `[B, 1 + P, D]` of `[B, 3, s, s]` pixels, the embeddings first."""


def tower_of(model: Any) -> States:
    """The vision tower of an assembled or a light model."""
    if hasattr(model, "tower"):
        states: States = model.tower
        return states
    return lambda pixels: model.family.see(model.backbone, pixels).states


def moved_in(engine: Engine, rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """`moved` of `[H, W, 3]` pixels, in the last hidden state that the engine's adapter reads.

    Args:
        engine: its tower stays as it is.
        rgb: the whole picture; the tower sees its overview.
    """
    from vlm_forensics.model.inputs import overview, to_tensor

    model = engine.model
    pixels = model.pixels(to_tensor(overview(rgb))[None].to(engine.device))
    return moved(tower_of(model), model.config.shallow_layers[-1], pixels)


def moved(states: States, layer: int, pixels: Any, seed: int = 0) -> NDArray[np.float64]:
    """RIGID, and the larger of RIGID and the same with a blur.

    RIGID (He et al. 2024) is `1 - mean cos(f(x), f(x + NOISE δ))` over `DRAWS` draws of
    `δ ~ N(0, I)`. The second takes the minimum of the similarities under noise and under blur
    (MINDER, 2024). The papers expect generated pictures to move more.

    Args:
        states: the frozen tower.
        layer: index of the hidden state whose class token is the embedding.
        pixels: `[1, 3, s, s]`, the tower's normalised input.
        seed: of the noise, the same for every picture.

    Returns:
        `[2]` in [0, 2], higher = moved more.
    """
    import torch
    from torch.nn import functional as F

    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn((DRAWS, *pixels.shape[1:]), generator=draw).to(pixels)
    with torch.inference_mode():
        batch = torch.cat([pixels, pixels + NOISE * noise, _blurred(pixels)])
        embedded = states(batch)[layer][:, 0].double()
        similar = F.cosine_similarity(embedded[:1], embedded[1:]).cpu().numpy()
    rigid = 1 - float(similar[:DRAWS].mean())
    return np.array([rigid, max(rigid, 1 - float(similar[DRAWS]))])


def _blurred(pixels: Any) -> Any:
    import cv2
    import torch
    from torch.nn import functional as F

    side, sigma = BLUR
    line = cv2.getGaussianKernel(side, sigma)
    kernel = torch.from_numpy(line @ line.T).to(pixels)[None, None].expand(3, 1, side, side)
    padded = F.pad(pixels, (side // 2,) * 4, mode="reflect")
    return F.conv2d(padded, kernel, groups=3)
