"""What GRPO's trainer gives for scored tokens is what TRL gives that scores every token."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tuning_starts import start_of, two_examples

from vlm_forensics.tuning import scorecard
from vlm_forensics.tuning.policy import Policy, overviews

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # asked for by peft

KEPT = 5
"""Tokens of the longest answer."""


@pytest.fixture
def policy() -> Policy:
    from trl.trainer.utils import add_fused_lm_head

    found = Policy(start_of("llava").model).train(False)
    add_fused_lm_head(found, outputs=("log_probs", "entropy"))
    return found


def rows() -> dict[str, Any]:
    """Two answers, one of them shorter, to prompts of different length."""
    ids, mask = scorecard.left_padded([[5, 9, 12, 40, 41, 42, 43, 44], [5, 9, 40, 41, 42]], 257)
    ids, mask = torch.cat([ids, torch.full((2, 2), 33)], 1), torch.cat([mask, torch.ones(2, 2)], 1)
    mask[1, -2:] = 0  # an answer that ended
    pictures = overviews([two_examples().corpus.rgb[n] for n in (0, 1)])
    return {"input_ids": ids, "attention_mask": mask.long(), "logits_to_keep": KEPT,
            "pixel_values": pictures, "num_images": [1, 1], "compute_entropy": True}  # fmt: skip


def scored(policy: Policy, way: type[Any], **more: Any) -> tuple[torch.Tensor, torch.Tensor]:
    from vlm_forensics.tuning.trainer import AnswerTrainer

    trainer = object.__new__(AnswerTrainer)  # only how it computes is needed here
    trainer.accelerator = SimpleNamespace(autocast=nullcontext, is_main_process=True)
    logps, entropies, _ = way._get_per_token_logps_and_entropies(trainer, policy, **rows() | more)
    return logps, entropies


def test_values_and_gradients_are_those_of_trl(policy: Policy) -> None:
    from trl import GRPOTrainer

    from vlm_forensics.tuning.trainer import AnswerTrainer

    table: Any = policy.get_output_embeddings()
    found, gradients = [], []
    for way in (GRPOTrainer, AnswerTrainer):
        policy.zero_grad()
        logps, entropies = scored(policy, way)
        assert logps.shape == entropies.shape == (2, KEPT)
        logps.sum().backward()
        found.append((logps.detach(), entropies.detach()))
        gradients.append(table.weight.grad.clone())
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-5)
    assert torch.allclose(*gradients, atol=1e-5)
    assert found[1][0][1, -2:].eq(0).all(), "what comes after the end of an answer has no value"
    assert found[1][0][0].lt(0).all()


def test_only_scored_tokens_reach_the_head(policy: Policy, monkeypatch: Any) -> None:
    from vlm_forensics.tuning.trainer import AnswerTrainer

    widths, forward = [], policy.reader.forward

    def counted(*args: Any, **more: Any) -> Any:
        out = forward(*args, **more)
        widths.append(out.last_hidden_state.shape[:2])
        return out

    monkeypatch.setattr(policy.reader, "forward", counted)
    scored(policy, AnswerTrainer)
    assert widths == [(1, 2 * KEPT - 2)]


def test_a_model_without_entropies_is_scored_too() -> None:
    from trl.trainer.utils import add_fused_lm_head

    from vlm_forensics.tuning.trainer import AnswerTrainer

    distant = Policy(start_of("llava").model).train(False)
    add_fused_lm_head(distant)
    logps, entropies = scored(distant, AnswerTrainer, compute_entropy=False)
    assert logps.shape == (2, KEPT)
    assert entropies is None
