"""The mask decoder: one prompt vector against fused and fine features, as SAM's mask head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlm_forensics.model.sizes import DetectionSizes

_DEPTH = 32


class MaskDecoder(nn.Module):
    """`[SEG]`'s hidden state, or a learned default when no text was asked, prompts a mask."""

    def __init__(self, config: DetectionSizes) -> None:
        super().__init__()
        size = config.adapter_size
        self.default_prompt = nn.Parameter(torch.zeros(1, size))
        self.from_text = nn.Linear(config.text_hidden_size, size)
        nn.init.zeros_(self.from_text.weight)
        nn.init.zeros_(self.from_text.bias)
        self.reduce = nn.Sequential(nn.Conv2d(size, 64, 3, 1, 1), nn.SiLU())
        self.fine = nn.Conv2d(config.low_level_widths[1], 64, 1)
        self.mix = nn.Sequential(nn.SiLU(), nn.Conv2d(64, _DEPTH, 3, 1, 1), nn.SiLU(),
                                 nn.Conv2d(_DEPTH, _DEPTH, 3, 1, 1))  # fmt: skip
        self.hyper = nn.Sequential(nn.Linear(size, size), nn.SiLU(), nn.Linear(size, _DEPTH + 1))

    def forward(self, grid: Tensor, fine: Tensor, prompt: Tensor | None = None) -> Tensor:
        """Mask logits `[B, h/4, w/4]`.

        Args:
            grid: `[B, D, h/16, w/16]` fused cells.
            fine: `[B, C1, h/4, w/4]` low-level features.
            prompt: `[B, text_hidden]`, the hidden state of `[SEG]`; None uses the default.
        """
        query = self.default_prompt.expand(len(grid), -1)
        if prompt is not None:
            query = query + self.from_text(prompt)
        coarse = F.interpolate(
            self.reduce(grid), fine.shape[-2:], mode="bilinear", align_corners=False
        )
        pixels = self.mix(coarse + self.fine(fine))
        weights = self.hyper(query)
        scale, shift = weights[:, :-1], weights[:, -1, None, None]
        # Not an einsum: OpenCV cannot run one again on a picture of another size.
        product = scale[:, None] @ pixels.flatten(2)
        logits: Tensor = product.unflatten(2, fine.shape[-2:])[:, 0] + shift
        return logits
