"""TRL's trainer, scoring answers only; apart because importing it imports TRL."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from trl import GRPOTrainer

from vlm_forensics.model.losses import IGNORE


class AnswerTrainer(GRPOTrainer):  # type: ignore[misc]
    """Puts through the language model's head the tokens that are scored, and no others.

    TRL does so itself where there is Triton. Elsewhere, as on a CPU, its head goes over every token
    of every row, and prompts are some ten times as long as answers.
    """

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **more: Any) -> Any:
        def answering(*, labels: Tensor, **inputs: Any) -> Any:
            following = labels[:, 1:]
            scored = following != IGNORE
            out = model(shift_labels=following[scored][None], scored=scored, **inputs)
            for name in ("log_probs", "entropy"):
                if (values := getattr(out, name)) is not None:  # a reference gives no entropy
                    out[name] = values.new_zeros(scored.shape).masked_scatter(scored, values)
            return out

        return super()._get_per_token_logps_and_entropies(answering, *args, **more)
