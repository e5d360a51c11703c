"""Stage B: LoRA on the language model, projector, evidence tokens and the mask prompt.

The detection heads stay as stage A left them, so their calibration holds; the language model
learns to write what they found, with a language-model loss on the whole answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from vlm_forensics.adapters import plain_name
from vlm_forensics.collate import TextInputs
from vlm_forensics.fitting.vision_cache import CachedTower
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.model.losses import IGNORE, class_loss, consistency_loss, mask_loss, total
from vlm_forensics.model.precision import mixed

if TYPE_CHECKING:
    from vlm_forensics.fitting.corpus import Corpus
    from vlm_forensics.model.modeling import VlmForensicsModel, VlmForensicsOutput

TRAINED_PARTS = (
    "backbone.model.multi_modal_projector.", "adapter.to_text.", "adapter.attend.",
    "adapter.queries", "adapter.decision.", "mask_decoder.from_text.", "text_class_head.",
)  # fmt: skip
"""Names of what stage B trains beside LoRA and the rows of the new tokens."""
LORA_TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@dataclass(frozen=True, slots=True)
class Rationale:
    """What stage B learns to say about one picture of the corpus."""

    index: int
    judged: str
    measured: str
    answer: str
    unusual: tuple[str, ...] = ()
    """Features outside the range of real photographs, compared at the true altered area."""


@dataclass
class RationaleDataset(Dataset[dict[str, Any]]):
    """Pictures with prompt and answer."""

    corpus: Corpus
    states: NDArray[np.float16]
    rationales: Sequence[Rationale]

    def __len__(self) -> int:
        return len(self.rationales)

    def __getitem__(self, item: int) -> dict[str, Any]:
        rationale = self.rationales[item]
        n = rationale.index
        return {
            "judged": rationale.judged, "measured": rationale.measured,
            "answer": rationale.answer,
            "pixel_values": torch.from_numpy(np.asarray(self.states[n])).float(),
            "overview": to_tensor(np.asarray(self.corpus.rgb[n])),
            "masks": torch.from_numpy(np.asarray(self.corpus.masks[n])),
            "class_labels": torch.tensor(self.corpus.classes[n]),
            "operation_labels": torch.tensor(self.corpus.operations[n]),
            "mask_known": torch.tensor(self.corpus.mask_known[n]),
        }  # fmt: skip


_TEXTS = ("judged", "measured", "answer")
_TARGETS = ("masks", "class_labels", "operation_labels", "mask_known")


@dataclass(frozen=True)
class Collator:
    """Batches of `RationaleDataset` as keyword arguments of the model."""

    text: TextInputs

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Tokens, pixels and targets."""
        batch: dict[str, Any] = dict(
            self.text.batch(*([row[name] for row in rows] for name in _TEXTS))
        )
        stacked = {name: torch.stack([row[name] for row in rows])
                   for name in rows[0] if name not in _TEXTS}  # fmt: skip
        batch |= {name: value for name, value in stacked.items() if name not in _TARGETS}
        batch["targets"] = {name: stacked[name] for name in _TARGETS}
        return batch


def prepare(model: VlmForensicsModel, *, rank: int, new_tokens: Sequence[int]) -> None:
    """Puts LoRA into the language model and frees just what stage B trains."""
    from peft import LoraConfig, get_peft_model

    layers = model.config.shallow_layers
    model.backbone.model.vision_tower = CachedTower(layers)
    model.requires_grad_(False)
    settings = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules=LORA_TARGETS,
        trainable_token_indices=list(new_tokens),
    )  # fmt: skip
    model.backbone = get_peft_model(model.backbone, settings)
    for name, parameter in model.named_parameters():
        if plain_name(name).startswith(TRAINED_PARTS):
            parameter.requires_grad_(True)


class StepModel(nn.Module):
    """The model under bfloat16 autocast, as `Trainer` calls it."""

    def __init__(self, model: VlmForensicsModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, **batch: Tensor) -> VlmForensicsOutput:
        """One training pass; with `row` in the batch it also says the loss of each sample."""
        # Batch statistics of the low-level stream must stay those of stage A.
        self.model.adapter.stream.eval()
        with mixed():
            out: VlmForensicsOutput = self.model(**batch)
        if "row" in batch:
            out.each = each_loss(out, batch, self.model.loss_weights)
        return out

    def state_dict(self, *_: Any, **__: Any) -> Any:
        """What is trained; a checkpoint needs no more, and safetensors refuses the tied tables."""
        return {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = False, assign: bool = False
    ) -> Any:
        """Puts what is trained back; the rest is there already, so nothing counts as missing."""
        found = super().load_state_dict(state_dict, strict, assign)
        return found._replace(missing_keys=[])


@torch.no_grad()
def each_loss(
    out: VlmForensicsOutput, batch: Mapping[str, Any], weights: Mapping[str, float]
) -> Tensor:
    """What the loss `[B]` of every sample would be in a batch of its own, as far as B trains it."""
    assert out.logits is not None
    assert out.text_class_logits is not None
    assert out.class_logits is not None
    assert out.mask_logits is not None
    labels, targets = batch["labels"][:, -out.logits.shape[1] :], batch["targets"]
    height, width = out.mask_logits.shape[-2:]
    masks = F.adaptive_avg_pool2d(targets["masks"][:, None].float(), (height, width))
    losses = []
    for n in range(len(labels)):
        one = slice(n, n + 1)
        said = F.cross_entropy(out.logits[n, :-1].float(), labels[n, 1:], ignore_index=IGNORE)
        parts = {
            "language": said,
            "text_class": class_loss(out.text_class_logits[one], targets["class_labels"][one]),
            "consistency": consistency_loss(out.text_class_logits[one], out.class_logits[one]),
            "mask": mask_loss(out.mask_logits[one], masks[one, 0], targets["mask_known"][one]),
        }
        losses.append(total({name: weights[name] * part for name, part in parts.items()}))
    return torch.stack(losses)


def train(  # noqa: PLR0913 - the settings of vlmf-mini.yaml, by keyword
    model: VlmForensicsModel, data: RationaleDataset, text: TextInputs, out: Path, *, steps: int,
    batch: int, learning_rate: float, seed: int,
) -> None:  # fmt: skip
    """Trains (or resumes) LoRA and the parts `prepare` freed, in place."""
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(out), max_steps=steps, per_device_train_batch_size=batch,
        learning_rate=learning_rate, weight_decay=0.0, lr_scheduler_type="cosine",
        warmup_steps=min(20, steps // 10), logging_steps=10, save_steps=100, save_total_limit=1,
        report_to=[], seed=seed, remove_unused_columns=False, max_grad_norm=1.0,
        use_cpu=not torch.cuda.is_available(), label_names=[], dataloader_num_workers=0,
    )  # fmt: skip
    trainer = Trainer(model=StepModel(model), args=arguments, train_dataset=data,
                      data_collator=Collator(text))  # fmt: skip
    trainer.train(resume_from_checkpoint=any(out.glob("checkpoint-*")))
    model.train(False)


def export(model: VlmForensicsModel, folder: Path) -> None:
    """Writes the trained parts the way `assembly` reads them: LoRA bfloat16, the rest float32."""
    from safetensors.torch import load_file, save_file

    from vlm_forensics import adapters

    adapters.write_parts(model, folder)
    lora = folder / adapters.LORA / adapters.WEIGHTS
    save_file({name: value.to(torch.bfloat16) for name, value in load_file(lora).items()}, lora)
