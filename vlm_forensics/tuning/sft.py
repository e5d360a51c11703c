"""Supervised fine-tuning: stage A where the detector is untrained, then stage B on whole answers.

Stage B trains LoRA on the language model or all of it, the projector, the evidence tokens,
`[CLS]`'s head and the mask prompt of `[SEG]`; the detector stays, so that its calibration holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from vlm_forensics.adapters import plain_name, projectors
from vlm_forensics.fitting.language_stage import Collator, StepModel
from vlm_forensics.fitting.sampling import DifficultySampler, SamplingTrainer
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.tuning import draws, full
from vlm_forensics.tuning.examples import FOR_TEXT, Examples
from vlm_forensics.tuning.settings import Lora, Sft, Steps
from vlm_forensics.tuning.start import Start
from vlm_forensics.tuning.watching import last_checkpoint, over

PARTS = (*FOR_TEXT, "text_class_head.")
"""What stage B trains beside language model and projector."""
DETECTOR_LOSSES = ("class", "low_level", "operation", "tile", "cell")


@dataclass
class ExampleDataset(Dataset[dict[str, Any]]):
    """Pictures with prompt, answer and targets, as `Collator` takes them."""

    examples: Examples
    rows: bool = False
    """Say which row an example is, for a sampler that wants the loss of each."""

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, item: int) -> dict[str, Any]:
        said, corpus = self.examples.rationales[item], self.examples.corpus
        n = said.index
        return ({"row": torch.tensor(int(item))} if self.rows else {}) | {
            "judged": said.judged, "measured": said.measured, "answer": said.answer,
            "overview": to_tensor(np.asarray(corpus.rgb[n])),
            "masks": torch.from_numpy(np.array(corpus.masks[n])),
            "class_labels": torch.tensor(corpus.classes[n]),
            "operation_labels": torch.tensor(corpus.operations[n]),
            "mask_known": torch.tensor(corpus.mask_known[n]),
        }  # fmt: skip


def adapt(start: Start, settings: Sft) -> None:
    """Puts LoRA into the language model, or frees all of it, and frees what else stage B trains."""
    model = start.model
    model.loss_weights |= dict.fromkeys(DETECTOR_LOSSES, 0.0)
    model.loss_weights |= {"language": 0.0, "text_class": 0.0, "mask": 0.0} | settings.losses
    if settings.method == "full":
        full.free(model)
    else:
        _put_lora(start, settings.lora)
    trained = (*PARTS, *projectors(model.config))
    for name, parameter in model.named_parameters():
        if plain_name(name).startswith(trained):
            parameter.requires_grad_(True)


def _put_lora(start: Start, lora: Lora) -> None:
    from peft import get_peft_model, prepare_model_for_kbit_training

    from vlm_forensics.collate import OWN_TOKENS

    model = start.model
    if getattr(model.backbone, "is_loaded_in_4bit", False):
        prepare_model_for_kbit_training(model.backbone, use_gradient_checkpointing=False)
    model.requires_grad_(False)
    own = start.text.tokenizer.convert_tokens_to_ids(list(OWN_TOKENS))
    model.backbone = get_peft_model(
        model.backbone, lora_config(start, lora, trainable_token_indices=own)
    )


def lora_config(start: Start, lora: Lora, **more: Any) -> Any:
    """What peft puts on the language model of `start`."""
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank, lora_alpha=2 * lora.rank, lora_dropout=lora.dropout,
        target_modules=start.model.family.lora_targets, **more,
    )  # fmt: skip


def train(start: Start, examples: Examples, settings: Sft, out: Path,
          callbacks: Sequence[TrainerCallback] = ()) -> None:  # fmt: skip
    """Stage B in place; goes on from the last checkpoint in `out`, if anything is left to do."""
    step = StepModel(start.model)
    if settings.training.checkpointing:
        start.model.backbone.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False}
        )
    index = np.array([said.index for said in examples.rationales])
    sampler = draws.sampler(settings.sampler, examples.corpus, index, settings.seed)
    common: dict[str, Any] = {
        "model": step, "args": arguments(settings.training, settings.seed, out),
        "train_dataset": ExampleDataset(examples, isinstance(sampler, DifficultySampler)),
        "data_collator": Collator(start.text), "callbacks": list(callbacks),
    }  # fmt: skip
    trainer: Any = Trainer(**common) if sampler is None else SamplingTrainer(sampler, **common)
    last = last_checkpoint(out)
    if over(out, settings.patience):
        trainer._load_from_checkpoint(last)
    elif sampler is None:
        trainer.train(resume_from_checkpoint=last)
    else:
        trainer.run(last)
    start.model.train(False)


def arguments(steps: Steps, seed: int, out: Path, kind: type[Any] = TrainingArguments,
              **more: Any) -> Any:  # fmt: skip
    """What transformers' and TRL's trainers share."""
    return kind(
        output_dir=str(out), max_steps=steps.steps, per_device_train_batch_size=steps.batch,
        gradient_accumulation_steps=steps.accumulate, learning_rate=steps.learning_rate,
        weight_decay=0.0, lr_scheduler_type="cosine",
        warmup_steps=round(steps.warmup * steps.steps), logging_steps=1,
        save_steps=steps.save_every, save_total_limit=2, report_to=[], seed=seed,
        remove_unused_columns=False, max_grad_norm=1.0, use_cpu=not torch.cuda.is_available(),
        label_names=[], dataloader_num_workers=0, bf16=torch.cuda.is_available(), **more,
    )  # fmt: skip
