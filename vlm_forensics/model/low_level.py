"""The low-level stream: fixed forensic residuals, then a small trained network.

Channels per pixel: RGB (3), NPR (3, Tan et al. 2024), DWT-HH with bior1.3 (1, SAFE, Li et al.
2024) and three SRM residuals (3, Fridrich & Kodovsky 2012); the kernels are those of
`vlm_forensics.features`, so the network sees what the report shows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pywt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlm_forensics.features.srm import KERNELS as SRM_KERNELS

CHANNELS = 10
_LUMA = (0.299, 0.587, 0.114)
_CLIP = 4.0
"""Residuals are cut here (in units of `_UNIT` grey levels), as SRM truncates its co-occurrences."""
_UNIT = 4.0


class Residuals(nn.Module):
    """`[B, 3, H, W]` RGB in 0..255 → `[B, 10, H, W]`, RGB in [-1, 1] and residuals in [-4, 4]."""

    def __init__(self) -> None:
        super().__init__()
        high = np.asarray(pywt.Wavelet("bior1.3").dec_hi, np.float32)[::-1].copy()
        hh = np.outer(high, high)[None, None]  # [1, 1, 6, 6]
        self.register_buffer("hh", torch.from_numpy(hh))
        srm = torch.from_numpy(np.asarray(SRM_KERNELS, np.float32))[:, None]  # [3, 1, 5, 5]
        self.register_buffer("srm", srm)
        self.register_buffer("luma", torch.tensor(_LUMA).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> Tensor:
        """The residual channels of even-sized images."""
        grey = (rgb * self.get_buffer("luma")).sum(1, keepdim=True)
        npr = rgb - F.interpolate(rgb[:, :, ::2, ::2], scale_factor=2, mode="nearest")
        hh = F.conv2d(F.pad(grey, (2, 3, 2, 3), mode="reflect"), self.get_buffer("hh"))
        srm = F.conv2d(F.pad(grey, (2, 2, 2, 2), mode="reflect"), self.get_buffer("srm"))
        residuals = torch.cat([npr * (2 / 3), hh, srm], 1) / _UNIT
        return torch.cat([rgb / 127.5 - 1, residuals.clamp(-_CLIP, _CLIP)], 1)


class Block(nn.Module):
    """Two 3×3 convolutions with a residual connection; the first may halve the size."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.skip = nn.Conv2d(before, after, 1, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """`[B, before, h, w]` → `[B, after, h / stride, w / stride]`."""
        y = F.silu(self.norm1(self.conv1(x)))
        # Not a strided convolution: in bfloat16 and channels last, torch 2.13's corrupts the heap
        # on the CPU when its input has fewer than 16 channels.
        skipped = self.skip(x[:, :, :: self.stride, :: self.stride])
        return F.silu(self.norm2(self.conv2(y)) + skipped)


class LowLevelFeatures(NamedTuple):
    """What the stream finds in tiles."""

    fine: Tensor  # [B, C1, h/4, w/4]
    coarse: Tensor  # [B, C3, h/16, w/16]


class LowLevelStream(nn.Module):
    """Residuals and a four-stage convolutional network over native-resolution tiles."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.residuals = Residuals()
        self.stem = nn.Sequential(
            nn.Conv2d(CHANNELS, widths[0], 3, 2, 1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.SiLU(),
        )
        self.stage4 = Block(widths[0], widths[1], 2)
        self.stage8 = Block(widths[1], widths[2], 2)
        self.stage16 = nn.Sequential(Block(widths[2], widths[3], 2), Block(widths[3], widths[3], 1))

    def forward(self, rgb: Tensor) -> LowLevelFeatures:
        """Features of `[B, 3, h, w]` RGB in 0..255, h and w multiples of 16."""
        # Channels last: the CPU's convolutions are up to twice as fast.
        residuals = self.residuals(rgb).contiguous(memory_format=torch.channels_last)
        fine = self.stage4(self.stem(residuals))
        coarse = self.stage16(self.stage8(fine))
        return LowLevelFeatures(fine.contiguous(), coarse.contiguous())
