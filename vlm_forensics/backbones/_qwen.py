"""What Qwen2.5-VL and Qwen3-VL share: patches in blocks, and positions in three directions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vlm_forensics.backbones.base import Seen, chat_template, stacked, summarised

SIDE = 448
"""Pixels of the square picture; these towers have no size of their own."""
CHAT_TEMPLATE = chat_template(
    "<|vision_start|><|image_pad|><|vision_end|>", "<|im_start|>", "<|im_end|>"
)


def processor(image_processor: Any, tokenizer: Any, config: Any) -> Any:
    """Without the video part; pictures are prepared alike in both."""
    from vlm_forensics.backbones._image_only import Qwen

    image_processor.patch_size = config.vision_config.patch_size
    return Qwen(image_processor, tokenizer)


def image_tokens(config: Any) -> int:
    """Image tokens of a `SIDE` pixels square picture."""
    tower = config.vision_config
    return int((SIDE // (tower.patch_size * tower.spatial_merge_size)) ** 2)


def patches(config: Any, square: Tensor) -> Tensor:
    """`[B, P, values]` of `[B, 3, s, s]`, as the processor orders them: block by block."""
    tower = config.vision_config
    size, merge = tower.patch_size, tower.spatial_merge_size
    batch, channels, side, _ = square.shape
    blocks = side // (size * merge)
    cut = square.reshape(batch, channels, blocks, merge, size, blocks, merge, size)
    cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)  # [B, row, column, row in it, column in it, C, y, x]
    twice = cut.unsqueeze(6).expand(*cut.shape[:6], tower.temporal_patch_size, size, size)
    return twice.reshape(batch, (blocks * merge) ** 2, -1)


def square_grid(pixel_values: Tensor) -> Tensor:
    """`image_grid_thw` of `[B, P, values]` patches, every picture a square."""
    side = round(pixel_values.shape[1] ** 0.5)
    grid = torch.tensor([[1, side, side]], device=pixel_values.device)
    return grid.expand(len(pixel_values), -1)


def see(backbone: Any, pixel_values: Tensor, order: Tensor | None = None) -> Seen:
    """Image tokens and raster-ordered hidden states.

    Args:
        backbone: the image-text model.
        pixel_values: `[B, P, values]`, the processor's patches, stacked per picture.
        order: place of each merged block in the tower's own order, where it has one.
    """
    grid = square_grid(pixel_values)
    seen = backbone.get_image_features(
        pixel_values=pixel_values.flatten(0, 1), image_grid_thw=grid,
        output_hidden_states=True, return_dict=True,
    )  # fmt: skip
    merge, side = backbone.config.vision_config.spatial_merge_size, int(grid[0, 1])
    states = (_raster(state, order, merge, side) for state in seen.hidden_states)
    deeper = map(stacked, getattr(seen, "deepstack_features", ()))
    return Seen(stacked(seen.pooler_output), tuple(map(summarised, states)), tuple(deeper))


def _raster(state: Tensor, order: Tensor | None, merge: int, side: int) -> Tensor:
    """Rows of the picture from blocks of merge x merge patches, `[B, side * side, D]`."""
    blocks = state.reshape(-1, merge, merge, state.shape[-1])
    if order is not None:
        blocks = blocks[order]
    blocks = blocks.reshape(-1, side // merge, side // merge, merge, merge, state.shape[-1])
    return blocks.transpose(2, 3).reshape(-1, side * side, state.shape[-1])


def positions(config: Any, input_ids: Tensor, _question: Tensor) -> dict[str, Tensor]:
    """Positions `[3, B, L]` in time, row and column of prompts with at most one square picture."""
    image = input_ids == config.image_token_id
    count = image.sum(1, keepdim=True)
    side = count.double().sqrt().round().long().clamp(min=1)
    start = image.int().argmax(1, keepdim=True)
    index = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    inside = index - start
    after = index - torch.where((count > 0) & (inside >= count), count - side, 0)
    row, column = start + inside.div(side, rounding_mode="floor"), start + inside % side
    parts = [torch.where(image, part, after) for part in (start.expand_as(index), row, column)]
    return {"position_ids": torch.stack(parts)}
