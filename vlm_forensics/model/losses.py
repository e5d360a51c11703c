"""Losses of the detection parts; every one ignores the samples it has no label for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vlm_forensics.model.adapter import AdapterOutput
from vlm_forensics.model.vocabulary import CLASSES
from vlm_forensics.taxonomy import Label

IGNORE = -100


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of `[B, C]` logits; 0 when every label is `IGNORE`."""
    if not bool((labels != IGNORE).any()):
        return logits.sum() * 0
    return F.cross_entropy(logits.float(), labels, ignore_index=IGNORE, label_smoothing=0.05)


def consistency_loss(text: Tensor, head: Tensor) -> Tensor:
    """How far the text-side class `[B, 3]` is from the head's: KL(head || text), head fixed."""
    return F.kl_div(text.float().log_softmax(1), head.detach().float().log_softmax(1),
                    reduction="batchmean", log_target=True)  # fmt: skip


def mask_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy plus dice (Milletari et al. 2016) over the samples with a known mask.

    Args:
        logits: `[B, h, w]`.
        masks: `[B, h, w]` in [0, 1]; all zero for a real image.
        known: `[B]` bool.
    """
    if not bool(known.any()):
        return logits.sum() * 0
    logits, masks = logits[known].float(), masks[known].float()
    cross = F.binary_cross_entropy_with_logits(logits, masks)
    altered = masks.flatten(1).sum(1) > 0
    if not bool(altered.any()):
        return cross
    p, m = logits[altered].sigmoid().flatten(1), masks[altered].flatten(1)
    dice = 1 - (2 * (p * m).sum(1) + 1) / (p.sum(1) + m.sum(1) + 1)
    return cross + dice.mean()


def tile_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy of `[B, 1, h, w]` cell logits against the masks' area averages."""
    if not bool(known.any()):
        return logits.sum() * 0
    height, width = logits.shape[-2:]
    target = F.adaptive_avg_pool2d(masks[known][:, None].float(), (height, width))
    return F.binary_cross_entropy_with_logits(logits[known].float(), target)


def cell_loss(logits: Tensor, altered: Tensor, operation: Tensor) -> Tensor:
    """What the low-level stream says of every cell: altered or not, and by which operation.

    Args:
        logits: `[B, 1 + 9, h, w]`.
        altered: `[B, h, w]` share of the cell that was altered.
        operation: `[B]`, `IGNORE` where unknown; it counts on cells altered by half or more.
    """
    found = F.binary_cross_entropy_with_logits(logits[:, 0].float(), altered)
    each = operation[:, None, None].expand_as(altered).masked_fill(altered < 0.5, IGNORE)
    named = F.cross_entropy(logits[:, 1:].float(), each, ignore_index=IGNORE, reduction="sum")
    return found + named / altered.numel()


def detection_loss(
    found: AdapterOutput, mask_logits: Tensor, targets: dict[str, Tensor], weights: dict[str, float]
) -> dict[str, Tensor]:
    """The weighted parts of the detection loss, by name.

    `targets` holds `class_labels` [B], `operation_labels` [B], `masks` [B, h, w] and
    `mask_known` [B]; `weights` one factor per part.
    """
    height, width = mask_logits.shape[-2:]
    masks = F.adaptive_avg_pool2d(targets["masks"][:, None].float(), (height, width))[:, 0]
    parts = {
        "class": class_loss(found.class_logits, targets["class_labels"]),
        "low_level": class_loss(found.low_level_logits, targets["class_labels"]),
        "operation": class_loss(found.operation_logits, targets["operation_labels"]),
        "mask": mask_loss(mask_logits, masks, targets["mask_known"]),
        "tile": tile_loss(found.tile_logits, masks, targets["mask_known"]),
        "cell": _cell_loss(found.cell_logits, masks, targets),
    }
    return {name: weights[name] * part for name, part in parts.items()}


def _cell_loss(logits: Tensor, masks: Tensor, targets: dict[str, Tensor]) -> Tensor:
    whole = targets["class_labels"] == CLASSES.index(Label.SYNTHETIC)
    known = targets["mask_known"] | whole
    if not bool(known.any()):
        return logits.sum() * 0
    height, width = logits.shape[-2:]
    cells = F.adaptive_avg_pool2d(masks[:, None], (height, width))[:, 0]
    altered = torch.where(whole[:, None, None], torch.ones_like(cells), cells)
    return cell_loss(logits[known], altered[known], targets["operation_labels"][known])


def total(parts: dict[str, Tensor]) -> Tensor:
    """The sum of the parts."""
    return torch.stack(list(parts.values())).sum()
