"""Small networks on one residual, real against synthetic: what the low-level stream has to beat.

NPR-CNN after Tan et al. (CVPR 2024), DWT-HH-CNN after SAFE (Li et al., KDD 2025). Both papers put a
ResNet-50 that is cut off after its second stage on their residual; ours is a far smaller one of the
same kind: a stem at half size, residual blocks at a quarter and an eighth, mean, one logit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vlm_forensics.model.inputs import STD, to_tensor
from vlm_forensics.model.low_level import Block
from vlm_forensics.weights import baseline_file

SIDE = 256
"""Side of the centre crop that is judged, pixels, as SAFE does; smaller pictures are whole."""
WIDTHS = (16, 24, 32)


def npr(rgb: Tensor) -> Tensor:
    """`2/3 (x - up(down(x)))`, nearest neighbour, `[B, 3, h, w]`, scaled as the paper does.

    Args:
        rgb: `[B, 3, h, w]` in 0..255, even sides.
    """
    spread = torch.tensor(STD, device=rgb.device).view(1, 3, 1, 1) * 255
    coarse = F.interpolate(rgb[:, :, ::2, ::2], scale_factor=2, mode="nearest")
    return (rgb - coarse) / spread * (2 / 3)


def dwt_hh(rgb: Tensor) -> Tensor:
    """Band HH of the first bior1.3 level, a channel each, enlarged as in SAFE: `[B, 3, h, w]`.

    The band is half the diagonal difference of 2x2 blocks (`features.dwt_hh`); its outermost
    coefficients, which lie in the padding, are left out.

    Args:
        rgb: `[B, 3, h, w]` in 0..255, even sides.
    """
    top, bottom = rgb[:, :, ::2], rgb[:, :, 1::2]
    band = (top[..., ::2] - top[..., 1::2] - bottom[..., ::2] + bottom[..., 1::2]) / (2 * 255)
    return F.interpolate(band, scale_factor=2, mode="bilinear", align_corners=False)


RESIDUALS: dict[str, Callable[[Tensor], Tensor]] = {"npr_cnn": npr, "dwt_hh_cnn": dwt_hh}
"""What each network sees, by its name."""


class ResidualCnn(nn.Module):
    """A ResNet-like stub on a residual.

    Args:
        name: of `RESIDUALS`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.residual = RESIDUALS[name]
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 3, 2, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.SiLU()
        )
        self.stages = nn.Sequential(Block(WIDTHS[0], WIDTHS[1], 2), Block(WIDTHS[1], WIDTHS[2], 2))
        self.head = nn.Linear(WIDTHS[2], 1)

    def forward(self, rgb: Tensor) -> Tensor:
        """Log-odds of synthetic `[B]` for `[B, 3, h, w]` RGB in 0..255, even sides."""
        found: Tensor = self.head(self.stages(self.stem(self.residual(rgb))).mean((2, 3)))[:, 0]
        return found

    @torch.inference_mode()
    def judge(self, rgb: NDArray[np.uint8]) -> float:
        """Probability that the picture is synthetic, by its centre.

        Args:
            rgb: `[H, W, 3]`, at least 32 pixels a side.
        """
        side = [min(SIDE, length // 2 * 2) for length in rgb.shape[:2]]
        y, x = (length - kept for length, kept in zip(rgb.shape[:2], side, strict=True))
        centre = rgb[y // 2 :, x // 2 :][: side[0], : side[1]]
        return float(self(to_tensor(centre)[None]).sigmoid())


@cache
def load(name: str) -> ResidualCnn:
    """The trained network.

    Args:
        name: of `RESIDUALS`.
    """
    from safetensors.torch import load_file

    network = ResidualCnn(name)
    network.load_state_dict(load_file(baseline_file(name)))
    return network.eval()
