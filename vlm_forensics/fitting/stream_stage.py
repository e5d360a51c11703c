"""Before stage A: the low-level stream learns on its own what each operation leaves in pixels.

Trained together with the shallow vision layers from the start it stays at chance, since the
semantic features lower the loss first. Here it sees crops only, and answers for every cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset, WeightedRandomSampler
from transformers import Trainer, TrainingArguments

from vlm_forensics.datasets.equalise import recompress
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.model.losses import cell_loss
from vlm_forensics.model.low_level import LowLevelStream
from vlm_forensics.model.vocabulary import CLASSES, OPERATIONS
from vlm_forensics.taxonomy import Label

CROP = 128
"""Side of the training crops, pixels."""
STRIDE = 16
CLEANEST = (78, 96)
"""JPEG qualities of the pictures it learns on: below, most traces are gone and only slow it down.
Stage A goes on with all of them."""
_AGAIN = 0.25
"""How often a crop is compressed once more."""
_FOCUS = 0.6
"""How often a crop of a locally altered picture is laid over an altered pixel."""
_SHARES = {Label.REAL: 0.25, Label.SYNTHETIC: 0.25, Label.TAMPERED: 0.5}


class DenseStream(nn.Module):
    """The stream with a head for every cell: altered or not, and by which operation."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stream = LowLevelStream(widths)
        self.head = nn.Conv2d(widths[-1], 1 + len(OPERATIONS), 1)

    def cells(self, rgb: Tensor) -> Tensor:
        """Logits `[B, 1 + 9, h/16, w/16]` of `[B, 3, h, w]` RGB in 0..255."""
        with torch.autocast(rgb.device.type, torch.bfloat16):
            found: Tensor = self.head(self.stream(rgb).coarse)
        return found.float()

    def forward(self, rgb: Tensor, altered: Tensor, operation: Tensor) -> dict[str, Tensor]:
        """The loss of a batch; `altered` is the share of each cell, `operation` one a crop."""
        return {"loss": cell_loss(self.cells(rgb), altered, operation)}


@dataclass
class CropDataset(Dataset[dict[str, Tensor]]):
    """Random crops of the corpus, turned, mirrored and recompressed."""

    corpus: Corpus
    seed: int

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        tampered = self.corpus.classes == CLASSES.index(Label.TAMPERED)
        clean = self.corpus.quality >= CLEANEST[0]
        self.index = np.flatnonzero(clean & (~tampered | self.corpus.mask_known))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        n = int(self.index[item])
        whole = self.corpus.classes[n] == CLASSES.index(Label.SYNTHETIC)
        mask = np.ones(self.corpus.masks.shape[1:], bool) if whole else self.corpus.masks[n]
        y, x = self._corner(mask)
        window = np.s_[y : y + CROP, x : x + CROP]
        rgb, mask = self._turned(np.asarray(self.corpus.rgb[n][window]), mask[window])
        cells = mask.reshape(CROP // STRIDE, STRIDE, CROP // STRIDE, STRIDE).mean((1, 3))
        return {
            "rgb": to_tensor(rgb),
            "altered": torch.from_numpy(cells).float(),
            "operation": torch.tensor(self.corpus.operations[n]),
        }

    def _corner(self, mask: NDArray[np.bool_]) -> tuple[int, int]:
        room = len(mask) - CROP
        if not mask.all() and mask.any() and self.rng.random() < _FOCUS:
            y, x = np.argwhere(mask)[self.rng.integers(mask.sum())]
            lowest = np.array([y, x]) - self.rng.integers(0, CROP, 2)
            y, x = lowest.clip(0, room)
            return int(y), int(x)
        return int(self.rng.integers(room + 1)), int(self.rng.integers(room + 1))

    def _turned(
        self, rgb: NDArray[np.uint8], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        if self.rng.random() < 0.5:
            rgb, mask = rgb[:, ::-1], mask[:, ::-1]
        turns = int(self.rng.integers(4))
        rgb, mask = np.rot90(rgb, turns), np.rot90(mask, turns)
        if self.rng.random() < _AGAIN:
            rgb = recompress(np.ascontiguousarray(rgb), int(self.rng.integers(*CLEANEST))).rgb
        return rgb, mask

    def weights(self) -> Tensor:
        """How often each sample is drawn: by class, then operation, then the root of its source."""
        labels = self.corpus.classes[self.index]
        operations, source = self.corpus.operations[self.index], self.corpus.source[self.index]
        groups = np.char.add(np.char.add(operations.astype(str), "/"), source)
        _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
        weight = counts[place] ** -0.5
        for c, label in enumerate(CLASSES):
            kinds = np.unique(operations[labels == c])
            for kind in kinds:
                members = (labels == c) & (operations == kind)
                weight[members] *= _SHARES[label] / len(kinds) / weight[members].sum()
        return torch.from_numpy(weight)


class _WeightedTrainer(Trainer):
    def _get_train_sampler(self, train_dataset: Any = None) -> WeightedRandomSampler:
        data: Any = train_dataset or self.train_dataset
        generator = torch.Generator().manual_seed(self.args.seed)
        return WeightedRandomSampler(data.weights().tolist(), len(data), generator=generator)


def train(
    widths: tuple[int, ...], corpus: Corpus, out: Path, *, steps: int, batch: int,
    learning_rate: float, seed: int,
) -> DenseStream:  # fmt: skip
    """Trains (or resumes) the stream; the last checkpoint stays in `out`."""
    torch.manual_seed(seed)
    model = DenseStream(widths)
    arguments = TrainingArguments(
        output_dir=str(out), max_steps=steps, per_device_train_batch_size=batch,
        learning_rate=learning_rate, weight_decay=0.02, lr_scheduler_type="cosine",
        warmup_steps=min(200, steps // 10), logging_steps=50, save_steps=250, save_total_limit=2,
        report_to=[], seed=seed, remove_unused_columns=False, dataloader_num_workers=0,
        max_grad_norm=1.0, use_cpu=not torch.cuda.is_available(), label_names=[],
    )  # fmt: skip
    trainer = _WeightedTrainer(model=model, args=arguments, train_dataset=CropDataset(corpus, seed))
    trainer.train(resume_from_checkpoint=any(out.glob("checkpoint-*")))
    trainer.save_model(str(out / "final"))
    return model.eval()


def load(widths: tuple[int, ...], out: Path) -> DenseStream:
    """The trained stream of a finished folder."""
    from safetensors.torch import load_file

    model = DenseStream(widths)
    model.load_state_dict(load_file(out / "final" / "model.safetensors"))
    return model
