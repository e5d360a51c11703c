"""Stage A: adapter, mask decoder and heads on cached vision features.

The vision tower and the language model stay untouched, so a step costs one small network; the
loop is that of `transformers.Trainer` (checkpoints, resume, logs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from vlm_forensics.datasets.equalise import recompress
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.sampling import (
    BalancedSampler,
    DifficultySampler,
    Drawn,
    SamplingTrainer,
)
from vlm_forensics.fitting.stream_stage import DenseStream
from vlm_forensics.model.adapter import AdapterOutput, DetectionAdapter
from vlm_forensics.model.config import VlmForensicsConfig
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.model.losses import detection_loss, total
from vlm_forensics.model.mask_decoder import MaskDecoder
from vlm_forensics.model.modeling import LOSS_WEIGHTS
from vlm_forensics.model.precision import mixed


class DetectionParts(nn.Module):
    """Adapter and mask decoder, trained together on cached hidden states."""

    def __init__(self, config: VlmForensicsConfig) -> None:
        super().__init__()
        self.adapter = DetectionAdapter(config)
        self.mask_decoder = MaskDecoder(config)

    def detect(self, shallow: Tensor, overview: Tensor) -> tuple[AdapterOutput, Tensor]:
        """Adapter output and mask logits; `shallow` is `[B, layers, 1 + P, hidden]`."""
        found = self.adapter(list(shallow.unbind(1)), overview)
        return found, self.mask_decoder(found.grid, found.fine)

    def forward(self, shallow: Tensor, overview: Tensor, **targets: Tensor) -> dict[str, Tensor]:
        """The loss and the class logits of a batch."""
        with mixed():
            found, mask_logits = self.detect(shallow, overview)
        parts = detection_loss(found, mask_logits, targets, LOSS_WEIGHTS)
        out = {"loss": total(parts), "logits": found.class_logits.float()}
        return out | ({"each": _each(found, mask_logits, targets)} if "row" in targets else {})


@torch.no_grad()
def _each(found: AdapterOutput, mask_logits: Tensor, targets: dict[str, Tensor]) -> Tensor:
    """What the loss `[B]` of every sample would be in a batch of its own."""
    losses = []
    for n in range(len(mask_logits)):
        one = slice(n, n + 1)
        alone = AdapterOutput(*(value[one] for value in found))
        known = {name: value[one] for name, value in targets.items()}
        losses.append(total(detection_loss(alone, mask_logits[one], known, LOSS_WEIGHTS)))
    return torch.stack(losses)


@dataclass
class DetectionDataset(Dataset[dict[str, Tensor]]):
    """Samples of a corpus with their cached hidden states, mirrored and recompressed at random.

    A `Drawn` item is changed the same way whenever its draw is repeated; any other anew.
    """

    corpus: Corpus
    states: NDArray[np.float16]
    index: NDArray[np.int64]
    seed: int
    augment: bool = True
    rows: bool = False
    """Say which row a sample is, for a sampler that wants the loss of each."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        n = int(self.index[item])
        rgb, mask = np.asarray(self.corpus.rgb[n]), np.asarray(self.corpus.masks[n])
        shallow = torch.from_numpy(np.array(self.states[n])).float()
        if self.augment:
            number = item.number if isinstance(item, Drawn) else int(self.rng.integers(2**62))
            rng = np.random.default_rng([self.seed, 1, number])
            rgb, mask, shallow = self._augmented(rgb, mask, shallow, rng)
        return ({"row": torch.tensor(int(item))} if self.rows else {}) | {
            "shallow": shallow,
            "overview": to_tensor(rgb),
            "masks": torch.from_numpy(np.array(mask)),
            "class_labels": torch.tensor(self.corpus.classes[n]),
            "operation_labels": torch.tensor(self.corpus.operations[n]),
            "mask_known": torch.tensor(self.corpus.mask_known[n]),
        }

    @staticmethod
    def _augmented(
        rgb: NDArray[np.uint8], mask: NDArray[np.bool_], shallow: Tensor, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Tensor]:
        # The tower is nearly mirror-equivariant, so its cached patches are mirrored as well.
        if rng.random() < 0.5:
            side = round((shallow.shape[1] - 1) ** 0.5)
            grid = shallow[:, 1:].reshape(len(shallow), side, side, -1)
            patches = grid.flip(2).flatten(1, 2)
            shallow = torch.cat([shallow[:, :1], patches], 1)
            rgb, mask = rgb[:, ::-1], mask[:, ::-1]
        if rng.random() < 0.5:
            rgb = recompress(np.ascontiguousarray(rgb), int(rng.integers(60, 96))).rgb
        if rng.random() < 0.3:
            noise = rng.standard_normal((shallow.shape[0], 1, shallow.shape[2]), np.float32)
            shallow = shallow * (1 + 0.1 * torch.from_numpy(noise))
        return rgb, mask, shallow


STREAM_SHARE = 0.25
"""Learning rate of the low-level stream, which comes trained, as a share of the others'."""
_STREAM = ("adapter.stream.", "adapter.cell_head.")


class _Trainer(SamplingTrainer):
    def create_optimizer(self, *_: Any, **__: Any) -> torch.optim.Optimizer:
        parts: Any = self.model
        rate, decay = self.args.learning_rate, self.args.weight_decay
        named = list(parts.named_parameters())
        stream = [p for name, p in named if name.startswith(_STREAM)]
        others = [p for name, p in named if not name.startswith(_STREAM)]
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": stream, "lr": rate * STREAM_SHARE},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=decay)
        return self.optimizer


def train(  # noqa: PLR0913 - the settings of vlmf-mini.yaml, by keyword
    config: VlmForensicsConfig, data: DetectionDataset, out: Path, *, steps: int, batch: int,
    learning_rate: float, seed: int, stream: DenseStream | None = None,
    sampler: BalancedSampler | None = None,
) -> DetectionParts:  # fmt: skip
    """Trains (or resumes) the detection parts; the last checkpoint stays in `out`.

    `stream` is the low-level stream that learned alone before, `sampler` what draws from the data
    (by default classes evenly).
    """
    torch.manual_seed(seed)
    parts = DetectionParts(config)
    if stream is not None:
        parts.adapter.stream.load_state_dict(stream.stream.state_dict())
        parts.adapter.cell_head.load_state_dict(stream.head.state_dict())
    arguments = TrainingArguments(
        output_dir=str(out), max_steps=steps, per_device_train_batch_size=batch,
        learning_rate=learning_rate, weight_decay=0.05, lr_scheduler_type="cosine",
        warmup_steps=min(100, steps // 10), logging_steps=25, save_steps=200, save_total_limit=1,
        report_to=[], seed=seed, remove_unused_columns=False, dataloader_num_workers=0,
        max_grad_norm=1.0, use_cpu=not torch.cuda.is_available(), label_names=[],
    )  # fmt: skip
    classes, source = data.corpus.classes[data.index], data.corpus.source[data.index]
    drawn = sampler or BalancedSampler(classes, source, seed)
    data = replace(data, rows=isinstance(drawn, DifficultySampler))
    trainer = _Trainer(drawn, model=parts, args=arguments, train_dataset=data)
    last: Callable[[str], str | None] = get_last_checkpoint
    trainer.run(last(str(out)) if out.is_dir() else None)
    trainer.save_model(str(out / "final"))
    return parts.eval()


@torch.inference_mode()
def predict(
    parts: DetectionParts, rgb: NDArray[np.uint8], states: NDArray[np.float16], *, batch: int = 32
) -> dict[str, NDArray[np.float32]]:
    """Class, low-level and operation logits and masks `[N, h/4, w/4]` in [0, 1] of pictures."""
    found: dict[str, list[NDArray[np.float32]]] = {}
    for start in range(0, len(rgb), batch):
        overview = to_tensor(np.asarray(rgb[start : start + batch]))
        shallow = torch.from_numpy(np.array(states[start : start + batch])).float()
        out, mask_logits = parts.detect(shallow, overview)
        values = {"class": out.class_logits, "low_level": out.low_level_logits,
                  "operation": out.operation_logits, "mask": mask_logits.sigmoid()}  # fmt: skip
        for name, value in values.items():
            found.setdefault(name, []).append(value.float().numpy())
    return {name: np.concatenate(batches) for name, batches in found.items()}
