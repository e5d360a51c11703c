"""The detection adapter: shallow vision layers and a low-level stream, fused on one grid.

The idea is that of AIGI-Holmes (Zhou et al. 2025) and of identity-aware VLMs: forgery traces live
in shallow layers and in pixel residuals, not in the semantic features a VLM is trained on.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlm_forensics.model.low_level import LowLevelFeatures, LowLevelStream
from vlm_forensics.model.sizes import DetectionSizes
from vlm_forensics.model.vocabulary import CLASSES, OPERATIONS


class AdapterOutput(NamedTuple):
    """What the adapter finds in a batch of images."""

    class_logits: Tensor  # [B, 3] real, synthetic, tampered
    low_level_logits: Tensor  # [B, 3] the low-level stream alone, a part of the class logits
    operation_logits: Tensor  # [B, 9]
    tile_logits: Tensor  # [B, 1, h/16, w/16] altered or not, per cell of the overview
    cell_logits: Tensor  # [B, 1 + 9, h/16, w/16] the low-level stream alone: altered, by what
    evidence: Tensor  # [B, K, text_hidden]
    grid: Tensor  # [B, D, h/16, w/16]
    fine: Tensor  # [B, C1, h/4, w/4]


class DetectionAdapter(nn.Module):
    """Class logits, a map, operation logits and K evidence tokens.

    The class logits are log-odds against real: a sum of three heads, weighted per head and class
    by `class_mix`. The heads read the fused cells, the low-level stream alone, and, as a linear
    probe, the last shallow layer ("Simplicity prevails", 2026: on unseen sources such a probe is
    hard to beat). Probe and weights are fitted after the rest; until then the probe weighs 0.
    """

    def __init__(self, config: DetectionSizes) -> None:
        super().__init__()
        size = config.adapter_size
        self.stream = LowLevelStream(config.low_level_widths)
        self.shallow = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(config.vision_hidden_size),
                          nn.Linear(config.vision_hidden_size, size))
            for _ in config.shallow_layers
        )  # fmt: skip
        self.cell_head = nn.Conv2d(config.low_level_widths[-1], 1 + len(OPERATIONS), 1)
        self.low = nn.Conv2d(config.low_level_widths[-1], size, 1)
        self.position = nn.Conv2d(size, size, 3, 1, 1, groups=size)
        self.summary = nn.Parameter(torch.zeros(1, 1, size))
        self.fuse = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(size, 4, 2 * size, 0.1, "gelu", batch_first=True,
                                       norm_first=True), 2, enable_nested_tensor=False)  # fmt: skip
        self.norm = nn.LayerNorm(size)
        self.class_head = nn.Linear(3 * size, len(CLASSES))
        self.low_level_head = nn.Linear(2 * config.low_level_widths[-1], len(CLASSES))
        self.vision_head = nn.Linear(3 * config.vision_hidden_size, len(CLASSES))
        self.register_buffer("class_mix", torch.tensor([[1.0] * 3, [1.0] * 3, [0.0] * 3]))
        self.operation_head = nn.Linear(3 * size, len(OPERATIONS))
        self.tile_head = nn.Linear(size, 1)
        self.queries = nn.Parameter(torch.randn(1, config.evidence_tokens, size) * 0.02)
        self.attend = nn.MultiheadAttention(size, 4, batch_first=True)
        self.to_text = nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, config.text_hidden_size), nn.GELU(),
            nn.Linear(config.text_hidden_size, config.text_hidden_size))  # fmt: skip
        self.decision = nn.Linear(len(CLASSES) + len(OPERATIONS), config.text_hidden_size)

    def forward(
        self, shallow: list[Tensor], overview: Tensor, tiles: Tensor | None = None
    ) -> AdapterOutput:
        """Examines a batch.

        Args:
            shallow: one `[B, 1 + P, vision_hidden]` per shallow layer, class token first, the P
                patches a square grid over the whole overview.
            overview: `[B, 3, h, w]` RGB in 0..255, h and w multiples of 16.
            tiles: `[B, N, 3, s, s]` native-resolution tiles, or None; they move the class logits
                by the mean of the low-level head over overview and tiles.
        """
        low = self.stream(overview)
        tokens = self._fused(shallow, low)  # [B, 1 + hw, D]
        summary, cells = tokens[:, 0], tokens[:, 1:]
        tile_logits = self.tile_head(cells)  # [B, hw, 1]
        weights = tile_logits.softmax(1)
        pooled = torch.cat([summary, cells.mean(1), (weights * cells).sum(1)], 1)
        low_level_logits = self._low_level(low, tiles)
        height, width = low.coarse.shape[-2:]
        heads = torch.stack(
            [self.class_head(pooled), low_level_logits, self.vision_head(pool(shallow[-1]))]
        )  # [3, B, 3]
        weighted = self.get_buffer("class_mix")[:, None] * (heads - heads[..., :1])
        class_logits = weighted.sum(0)  # real is 0, the others are log-odds against it
        cell_logits = self.cell_head(low.coarse)
        named = cell_logits[:, 1:].flatten(2).transpose(1, 2)  # [B, hw, 9]
        operation_logits = self.operation_head(pooled) + (weights * named).sum(1)
        return AdapterOutput(
            class_logits,
            low_level_logits,
            operation_logits,
            tile_logits.transpose(1, 2).reshape(-1, 1, height, width),
            cell_logits,
            self._evidence(tokens, class_logits, operation_logits),
            cells.transpose(1, 2).reshape(len(cells), -1, height, width),
            low.fine,
        )

    def _evidence(self, tokens: Tensor, class_logits: Tensor, operation_logits: Tensor) -> Tensor:
        seen, _ = self.attend(self.queries.expand(len(tokens), -1, -1), tokens, tokens,
                              need_weights=False)  # fmt: skip
        # The first token tells the language model what the heads say, so that it explains that.
        heads = torch.cat([class_logits.softmax(1), operation_logits.softmax(1)], 1).detach()
        return torch.cat([self.decision(heads)[:, None], self.to_text(seen[:, 1:])], 1)

    def _fused(self, shallow: list[Tensor], low: LowLevelFeatures) -> Tensor:
        read = [layer(x) for layer, x in zip(self.shallow, shallow, strict=True)]
        summed = torch.stack(read).sum(0)
        patches = summed[:, 1:].transpose(1, 2)
        side = round(patches.shape[-1] ** 0.5)
        square = patches.reshape(*patches.shape[:2], side, side)
        grid = F.interpolate(square, low.coarse.shape[-2:], mode="bilinear", align_corners=False)
        grid = grid + self.low(low.coarse)
        grid = grid + self.position(grid)
        start = self.summary + summed[:, :1]
        fused: Tensor = self.norm(self.fuse(torch.cat([start, grid.flatten(2).transpose(1, 2)], 1)))
        return fused

    def _low_level(self, low: LowLevelFeatures, tiles: Tensor | None) -> Tensor:
        logits = self.low_level_head(_statistics(low.coarse))
        if tiles is None or tiles.shape[1] == 0:
            return torch.as_tensor(logits)
        coarse = self.stream(tiles.flatten(0, 1)).coarse
        native = self.low_level_head(_statistics(coarse)).reshape(*tiles.shape[:2], -1)
        return torch.cat([logits[:, None], native], 1).mean(1)


def pool(states: Tensor) -> Tensor:
    """Class token, mean and deviation of the patches of `[B, 1 + P, D]`, as `[B, 3D]`."""
    patches = states[:, 1:]
    return torch.cat([states[:, 0], patches.mean(1), patches.std(1)], 1)


def _statistics(coarse: Tensor) -> Tensor:
    """Mean and standard deviation over the grid, `[B, 2C]`."""
    flat = coarse.flatten(2)
    return torch.cat([flat.mean(2), flat.std(2)], 1)
