"""Group relative policy optimisation with TRL: rewards on whole answers, masks decoded end to end.

Group advantages, clipping and the distance from the start are TRL's (Shao et al. 2024, arXiv
2402.03300; DAPO, Yu et al. 2025, arXiv 2503.14476). A fresh LoRA is trained on the starting model,
so that the model without it is the reference; where all weights train, that is a frozen copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import TrainerCallback

from vlm_forensics.errors import PrerequisiteError
from vlm_forensics.model.vocabulary import CLASSES
from vlm_forensics.rewards.scoring import RewardFunction, trl_function
from vlm_forensics.tuning import full, scorecard, sft, watching
from vlm_forensics.tuning.examples import Examples
from vlm_forensics.tuning.groups import seen
from vlm_forensics.tuning.policy import Policy, PolicyProcessor, overviews
from vlm_forensics.tuning.settings import Grpo
from vlm_forensics.tuning.start import Start

_SEES_MASKS = frozenset({"mask", "consistency"})
"""Rewards that look at what the mask decoder makes of `[SEG]`."""


def train(start: Start, examples: Examples, settings: Grpo, out: Path,
          callbacks: Sequence[TrainerCallback] = ()) -> Any:  # fmt: skip
    """Trains the policy in place; gives it, where a LoRA is trained inside its `PeftModel`.

    Goes on from the last checkpoint in `out`.

    Raises:
        PrerequisiteError: trl or datasets is missing.
    """
    try:
        from datasets import Dataset

        from vlm_forensics.tuning.trainer import AnswerTrainer
    except ImportError as error:
        raise PrerequisiteError(error.name or "trl", "train") from error
    policy = Policy(start.model)
    whole = settings.method == "full"
    if whole:
        full.free(start.model)
    else:
        policy.requires_grad_(False)
    distant = full.reference(policy) if whole and settings.kl else None
    names = list(settings.rewards)
    # Only the row goes through `datasets`: pictures stay as they are, masks need no schema.
    rows = Dataset.from_dict({"row": list(range(len(examples)))})
    trainer = AnswerTrainer(
        model=policy,
        reward_funcs=[reward(name, start, examples) for name in names],
        args=arguments(settings, out),
        train_dataset=rows.with_transform(lambda batch: _rows(start, examples, batch["row"])),
        processing_class=PolicyProcessor(start.text),
        peft_config=None if whole else sft.lora_config(start, settings.lora),
        callbacks=list(callbacks),
    )
    if distant is not None:
        _refer(trainer, distant, settings.kl)
    last = watching.last_checkpoint(out)
    if watching.over(out, settings.patience):
        trainer._load_from_checkpoint(last)
    else:
        trainer.train(resume_from_checkpoint=last)
    start.model.train(False)
    return trainer.accelerator.unwrap_model(trainer.model)


def arguments(settings: Grpo, out: Path) -> Any:
    """TRL's settings; a step sees `batch * accumulate` answers in groups of `group`."""
    from trl import GRPOConfig

    more: dict[str, Any] = {"epsilon_high": settings.clip_high} if settings.clip_high else {}
    if settings.vllm:
        more |= {"use_vllm": True, "vllm_mode": "colocate"}
    return sft.arguments(
        settings.training, settings.seed, out, GRPOConfig,
        num_generations=settings.group, loss_type=settings.loss,
        beta=0.0 if settings.method == "full" else settings.kl,  # see `_refer`
        epsilon=settings.clip, temperature=settings.temperature,
        max_completion_length=settings.max_tokens, reward_weights=list(settings.rewards.values()),
        activation_checkpointing=settings.training.checkpointing, **more,
    )  # fmt: skip


def _refer(trainer: Any, distant: Policy, kl: float) -> None:
    """Gives the trainer its reference; by itself it loads one by a hub name that ours has not."""
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(distant, temperature=trainer.temperature)
    trainer.ref_model = trainer.accelerator.prepare_model(distant, evaluation_mode=True)
    trainer.beta = kl


def _rows(start: Start, examples: Examples, rows: Sequence[int]) -> dict[str, list[Any]]:
    """A batch as TRL's columns; `row` finds everything else again."""
    said = [examples.rationales[n] for n in rows]
    questions = [start.text.question(one.judged, one.measured) for one in said]
    pictures = [np.asarray(examples.corpus.rgb[one.index]) for one in said]
    return {
        "row": list(rows), "image": pictures,
        "prompt": [[{"role": "user", "content": question}] for question in questions],
    }  # fmt: skip


def reward(name: str, start: Start, examples: Examples) -> RewardFunction:
    """The reward of this name over the rows of `examples`, with masks where it looks at them."""
    function = trl_function(name)

    def scored(completion_ids: Any, row: Sequence[int], **_: Any) -> list[float | None]:
        texts = [start.text.answer_text(ids) for ids in completion_ids]
        if name in _SEES_MASKS:
            heads, masks = _decoded(start, examples, row, completion_ids)
            known = [scorecard.columns(examples, n, CLASSES[head], mask)
                     for n, head, mask in zip(row, heads, masks, strict=True)]  # fmt: skip
        else:
            known = [scorecard.columns(examples, n) for n in row]
        columns: dict[str, Any] = {key: [one[key] for one in known] for key in known[0]}
        return function(completions=texts, completion_ids=completion_ids, **columns)

    scored.__name__ = name
    return scored


@torch.inference_mode()
def _decoded(
    start: Start, examples: Examples, rows: Sequence[int], completions: Sequence[Sequence[int]]
) -> tuple[list[int], NDArray[np.bool_]]:
    """The head's class and the mask that each answer's `[SEG]` asks for."""
    model, text = start.model, start.text
    backbone: Any = model.backbone  # the detector is never in training: leave its mode alone
    training = backbone.training
    backbone.train(False)
    said = [examples.rationales[n] for n in rows]
    pixels = overviews([examples.corpus.rgb[one.index] for one in said]).to(model.device)
    prompts = [text.prompt_ids(one.judged, one.measured) for one in said]
    ids, attention = scorecard.left_padded(prompts, text.tokenizer.pad_token_id)
    width, fill = max(map(len, completions)), text.tokenizer.pad_token_id
    new = torch.tensor([[*said, *[fill] * (width - len(said))] for said in completions])
    ids, attention, new = (one.to(model.device) for one in (ids, attention, new))
    found, _ = seen(model, pixels)
    masks = scorecard.prompted_masks(model, ids, attention, new, found)
    backbone.train(training)
    threshold = start.calibration.mask_threshold if start.calibration else 0.5
    return found.adapter.class_logits.argmax(1).tolist(), masks >= threshold
