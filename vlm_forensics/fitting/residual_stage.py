"""The trained low-level baselines: a small network on one residual, real against synthetic.

They see the training views of the built-in model, real and synthetic ones, in crops, after a JPEG
whose quality is drawn from the same distribution for both. The last step counts; the validation
views are looked at once, for the card.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from vlm_forensics.datasets.equalise import SIDE, recompress
from vlm_forensics.evaluation.metrics import Figure, auc, bootstrap
from vlm_forensics.fitting.corpus import QUALITIES
from vlm_forensics.fitting.sampling import BalancedSampler, SamplingTrainer
from vlm_forensics.fitting.views import Views
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.model.residual_cnn import RESIDUALS, ResidualCnn
from vlm_forensics.model.vocabulary import CLASSES
from vlm_forensics.taxonomy import Label

__all__ = ["RESIDUALS", "ResidualDataset", "Validated", "export", "train", "two_class", "validate"]

CROP = 128
"""Side of the training crops, pixels."""


class _Lossy(nn.Module):
    """The network with its loss, as `Trainer` wants it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = ResidualCnn(name)

    def forward(self, rgb: Tensor, synthetic: Tensor) -> dict[str, Tensor]:
        return {"loss": F.binary_cross_entropy_with_logits(self.network(rgb), synthetic)}


@dataclass
class ResidualDataset(Dataset[dict[str, Tensor]]):
    """Random crops of real and synthetic views, turned, mirrored and recompressed.

    Args:
        parts: views on disk; tampered ones and those of sources in `leave_out` are passed over.
    """

    parts: Sequence[Views]
    leave_out: Sequence[str]
    seed: int

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        kept = [two_class(part, self.leave_out) for part in self.parts]
        self.places = [(part, int(n)) for part, rows in zip(self.parts, kept, strict=True)
                       for n in rows]  # fmt: skip
        self.classes = np.asarray([CLASSES.index(Label(p.label[n])) for p, n in self.places])
        self.source = np.asarray([p.source[n] for p, n in self.places])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        part, n = self.places[item]
        y, x = self.rng.integers(SIDE - CROP + 1, size=2)
        rgb = np.rot90(part.rgb[n, y : y + CROP, x : x + CROP], int(self.rng.integers(4)))
        if self.rng.random() < 0.5:
            rgb = rgb[:, ::-1]
        quality = int(self.rng.integers(*QUALITIES))
        synthetic = self.classes[item] == CLASSES.index(Label.SYNTHETIC)
        return {"rgb": to_tensor(recompress(np.ascontiguousarray(rgb), quality).rgb),
                "synthetic": torch.tensor(float(synthetic))}  # fmt: skip


def two_class(part: Views, leave_out: Sequence[str]) -> NDArray[np.intp]:
    """Rows of real and synthetic views of the sources that are not left out."""
    fits = np.isin(part.label, [Label.REAL, Label.SYNTHETIC])
    return np.flatnonzero(fits & ~np.isin(part.source, list(leave_out)))


def train(
    name: str, data: ResidualDataset, out: Path, *, steps: int, batch: int, learning_rate: float,
    seed: int,
) -> ResidualCnn:  # fmt: skip
    """Trains (or resumes) one network; the last checkpoint stays in `out`."""
    torch.manual_seed(seed)
    model = _Lossy(name)
    if (finished := out / f"checkpoint-{steps}" / "model.safetensors").is_file():
        model.load_state_dict(load_file(finished))  # resumed, it would take one more step
        return model.network.eval()
    arguments = TrainingArguments(
        output_dir=str(out), max_steps=steps, per_device_train_batch_size=batch,
        learning_rate=learning_rate, weight_decay=0.01, lr_scheduler_type="cosine",
        warmup_steps=min(50, steps // 10), logging_steps=20, save_steps=60, save_total_limit=1,
        report_to=[], seed=seed, remove_unused_columns=False, dataloader_num_workers=0,
        max_grad_norm=1.0, use_cpu=not torch.cuda.is_available(), label_names=[],
    )  # fmt: skip
    sampler = BalancedSampler(data.classes, data.source, seed)
    trainer = SamplingTrainer(sampler, model=model, args=arguments, train_dataset=data)
    last: Callable[[str], str | None] = get_last_checkpoint
    trainer.run(last(str(out)) if out.is_dir() else None)
    return model.network.eval()


def export(network: ResidualCnn, path: Path) -> None:
    """The weights as safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)


@dataclass(frozen=True)
class Validated:
    """How a network ranks validation pictures, equalised as in every evaluation."""

    all: Figure
    """AUC with its interval over pictures."""
    sources: dict[str, Figure]
    """Of the sources that hold both classes."""
    real: int
    synthetic: int


def validate(network: ResidualCnn, parts: Sequence[Views], leave_out: Sequence[str]) -> Validated:
    """AUC of real against synthetic on whole views."""
    rows = [(part, int(n)) for part in parts for n in two_class(part, leave_out)]
    scores = np.asarray([network.judge(recompress(np.asarray(p.rgb[n])).rgb) for p, n in rows])
    synthetic = np.asarray([p.label[n] == Label.SYNTHETIC for p, n in rows])
    source = np.asarray([p.source[n] for p, n in rows])
    return Validated(
        bootstrap(auc, (synthetic, scores)),
        {name: found for name in np.unique(source).tolist()
         if not np.isnan((found := bootstrap(auc, (synthetic[source == name],
                                                   scores[source == name]))).value)},
        int((~synthetic).sum()), int(synthetic.sum()),
    )  # fmt: skip
