"""The assembled model as TRL's trainers call one: tokens and a picture in, a text out.

TRL passes on `pixel_values` only, so these are the overviews `[B, 3, h, w]` in 0..255, of which
the model makes everything else. The detector is frozen: rewards see texts, and no loss reaches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel, ProcessorMixin
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput
from transformers.utils import SAFE_WEIGHTS_NAME

from vlm_forensics.collate import TextInputs
from vlm_forensics.model.config import VlmForensicsConfig
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.model.modeling import VlmForensicsModel
from vlm_forensics.tuning.groups import beginning, hidden_states, seen


class Reader(nn.Module):
    """Hidden states of tokens with a picture among them; what TRL's fused head stands on."""

    def __init__(self, model: VlmForensicsModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor,
        scored: Tensor | None = None, **_: Any,
    ) -> BaseModelOutput:  # fmt: skip
        """Last hidden states `[B, L, text_hidden]`.

        With `scored`, a mask `[B, L - 1]` of tokens whose next one is scored: `[1, N, text_hidden]`
        of these only.
        """
        hidden = hidden_states(self.model, input_ids, attention_mask, pixel_values)
        kept = hidden if scored is None else hidden[:, :-1][scored][None]
        return BaseModelOutput(last_hidden_state=kept)


class Policy(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The policy of GRPO.

    Args:
        model: tuned by SFT, or not.
    """

    config_class = VlmForensicsConfig
    base_model_prefix = "reader"
    supports_gradient_checkpointing = True

    def __init__(self, model: VlmForensicsModel) -> None:
        super().__init__(model.config)
        self.reader = Reader(model)
        self.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            eos_token_id=model.config.get_text_config().eos_token_id
        )

    @property
    def model(self) -> VlmForensicsModel:
        """The assembled model."""
        return self.reader.model

    def train(self, mode: bool = True) -> Self:
        """The detector never trains: its batch statistics would drift with every picture seen."""
        super().train(mode)
        for part in (self.model.adapter, self.model.mask_decoder):
            part.train(False)
        return self

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings of the language model."""
        return self.model.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The language model's head."""
        head: nn.Module = self.model.backbone.get_output_embeddings()
        return head

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor, **_: Any
    ) -> CausalLMOutput:
        """Logits `[B, L, vocabulary]`; TRL puts its fused head in the place of this."""
        hidden = self.reader(input_ids, attention_mask, pixel_values).last_hidden_state
        return CausalLMOutput(logits=self.get_output_embeddings()(hidden))

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | Path, state_dict: Mapping[str, Tensor] | None = None,
        is_main_process: bool = True, **_: Any,
    ) -> None:  # fmt: skip
        """What is trained, as a checkpoint; the rest is there when the run goes on."""
        state = self.state_dict() if state_dict is None else state_dict
        names = [name for name, one in self.named_parameters() if one.requires_grad]
        if is_main_process:
            Path(save_directory).mkdir(parents=True, exist_ok=True)
            save_file({name: state[name].detach().contiguous() for name in names},
                      Path(save_directory) / SAFE_WEIGHTS_NAME, {"format": "pt"})  # fmt: skip

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = False, assign: bool = False
    ) -> Any:
        """Puts what is trained back, so nothing counts as missing."""
        return super().load_state_dict(state_dict, strict, assign)._replace(missing_keys=[])

    @torch.no_grad()
    def generate(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor,
        generation_config: GenerationConfig, **_: Any,
    ) -> Tensor:  # fmt: skip
        """Left-padded prompts with sampled answers, `[B, L + new]`."""
        model = self.model
        found, place = seen(model, pixel_values)
        embeds, more = model.embed(input_ids, found), model.beside(input_ids, found)
        begun = beginning(model.backbone, embeds, input_ids, attention_mask, place, more)
        new = model.family.generate(
            model.backbone, inputs_embeds=embeds, attention_mask=attention_mask,
            generation_config=generation_config, **more,
            **({} if begun is None else {"past_key_values": begun[1]}),
        )  # fmt: skip
        return torch.cat([input_ids, new], 1)


class PolicyProcessor(ProcessorMixin):
    """Turns of one picture and one text, as TRL asks a processor for them."""

    def __init__(self, text: TextInputs) -> None:
        self.text, self.tokenizer = text, text.tokenizer
        self.chat_template = None

    def apply_chat_template(  # type: ignore[override]
        self, conversation: Any, *, tokenize: bool = False, **_: Any
    ) -> str | dict[str, Any]:
        """Text of a turn, or ids and pictures of several."""
        if not tokenize:
            return self.text.turn(_question(conversation))
        ids = [self.text.turn_ids(_question(turns)) for turns in conversation]
        pictures = [part["image"] for turns in conversation for part in turns[-1]["content"]
                    if part["type"] == "image"]  # fmt: skip
        return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids],
                "pixel_values": overviews(pictures)}  # fmt: skip

    def __call__(self, images: Any = None, text: Any = None, **_: Any) -> dict[str, Any]:
        """The pictures; TRL takes the tokens from `apply_chat_template`."""
        del text
        return {"pixel_values": overviews([picture for row in images for picture in row])}

    def batch_decode(self, ids: Any, **_: Any) -> list[str]:
        """Answers, `[SEG]` kept: to the tokenizer it is special, to the grammar it is a word."""
        return [self.text.answer_text(row) for row in ids]

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | Path, **_: Any
    ) -> Any:
        """The tokenizer's files."""
        return self.tokenizer.save_pretrained(save_directory)


def _question(turns: Any) -> str:
    return "".join(part["text"] for part in turns[-1]["content"] if part["type"] == "text")


def overviews(pictures: list[NDArray[np.uint8]]) -> Tensor:
    """`[B, 3, h, w]` in 0..255."""
    return to_tensor(np.stack([np.asarray(picture) for picture in pictures]))
