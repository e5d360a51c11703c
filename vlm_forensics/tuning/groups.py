"""Answers of one group share picture and prompt: both are looked at once, and exactly so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vlm_forensics.model.modeling import Detection, VlmForensicsModel


@torch.no_grad()
def seen(model: VlmForensicsModel, overview: Tensor) -> tuple[Detection, Tensor]:
    """What the detector finds in `[B, 3, h, w]`, each different picture looked at once.

    And `[B]`, the same number for the same picture.
    """
    different, place = torch.unique(overview, dim=0, return_inverse=True)
    return model.detect(model.pixels(different), different).rows(place), place


def hidden_states(
    model: VlmForensicsModel, input_ids: Tensor, attention_mask: Tensor, overview: Tensor
) -> Tensor:
    """Last hidden states `[B, L, text_hidden]`, with gradients for the language model.

    The tokens that all answers to a picture begin with pass the language model once; every answer
    goes on from their keys and values. Most of a row is prompt, so that is most of the work.
    """
    found, place = seen(model, overview)
    embeds, more = model.embed(input_ids, found), model.beside(input_ids, found)
    backbone: Any = model.backbone
    begun = beginning(backbone, embeds, input_ids, attention_mask, place, more)
    if begun is None:
        out = backbone.model(
            inputs_embeds=embeds, attention_mask=attention_mask, use_cache=False, **more
        )
        return torch.as_tensor(out.last_hidden_state)
    head, cache = begun
    shared = head.shape[1]
    tail = backbone.model(
        inputs_embeds=embeds[:, shared:], attention_mask=attention_mask, past_key_values=cache,
        position_ids=positions(attention_mask)[:, shared:], use_cache=True,
    )  # fmt: skip
    return torch.cat([head, tail.last_hidden_state], 1)


def beginning(
    backbone: Any, embeds: Tensor, input_ids: Tensor, attention_mask: Tensor, place: Tensor,
    more: Mapping[str, Any],
) -> tuple[Tensor, Any] | None:  # fmt: skip
    """Last hidden states `[B, shared, text_hidden]` of what answers share, and the cache after it.

    None where nothing is shared, where blocks are run twice to save memory, or where the language
    model takes `more` beside its tokens, which is made for whole rows.
    """
    alone = bool(more) or _recomputes(backbone)
    shared = 0 if alone else common(input_ids, attention_mask, place)
    if shared == 0:
        return None
    first = firsts(place)
    out = backbone.model(
        inputs_embeds=embeds[first, :shared], attention_mask=attention_mask[first, :shared],
        position_ids=positions(attention_mask)[first, :shared], use_cache=True,
    )  # fmt: skip
    cache = out.past_key_values
    cache.batch_select_indices(place)
    return out.last_hidden_state[place], cache


def positions(attention_mask: Tensor) -> Tensor:
    """`[B, L]` places of tokens, padding in front not counted, as generation counts them."""
    return (attention_mask.cumsum(1) - 1).clamp(min=0)


def common(input_ids: Tensor, attention_mask: Tensor, place: Tensor) -> int:
    """How many tokens all rows of each group begin with; 0 where no group has two rows.

    Args:
        input_ids: `[B, L]`.
        attention_mask: likewise.
        place: `[B]` the group of each row.
    """
    first = firsts(place)[place]
    if len(torch.unique(place)) == len(place):
        return 0
    same = (input_ids == input_ids[first]) & (attention_mask == attention_mask[first])
    everywhere = same.all(0).int().cumprod(0)
    return min(int(everywhere.sum()), input_ids.shape[1] - 1)


def firsts(place: Tensor) -> Tensor:
    """The first row `[G]` of every group."""
    rows = torch.arange(len(place), device=place.device)
    start = rows.new_full((int(place.max()) + 1,), len(place))
    return start.scatter_reduce(0, place, rows, "amin")


def _recomputes(backbone: Any) -> bool:
    """Gradient checkpointing runs blocks twice, and so would fill a cache twice."""
    return bool(getattr(backbone, "is_gradient_checkpointing", False)) and backbone.training
