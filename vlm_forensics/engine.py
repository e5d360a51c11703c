"""The loaded model: pixels to logits and masks, findings to text. All torch of a run is here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlm_forensics.errors import ModelError, WeightsError
from vlm_forensics.model import light
from vlm_forensics.model.inputs import prepare, to_tensor
from vlm_forensics.model.precision import bfloat16_pays
from vlm_forensics.model.vocabulary import OPERATIONS
from vlm_forensics.seeing import Seen, on_grid

if TYPE_CHECKING:
    from vlm_forensics.collate import TextInputs
    from vlm_forensics.model.modeling import VlmForensicsModel
    from vlm_forensics.rationale import Told

MAX_NEW_TOKENS = 40
"""Of one sentence."""
MAX_ANSWER_TOKENS = 256
"""Of a whole answer, for a model that writes freely."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the language model wrote."""

    text: str
    ids: Tensor  # [1, prompt + answer]


class Engine:
    """One model on one device.

    Args:
        model: the assembled model, or what of it detects.
        text: builds prompts; None when the language model is absent.
    """

    def __init__(
        self, model: VlmForensicsModel | light.LightModel, text: TextInputs | None
    ) -> None:
        self.model: Any = model.train(False)  # both kinds see; only the assembled model writes
        self.text = text

    @classmethod
    def load(cls, folder: Path, *, language: bool) -> Engine:
        """The model in `folder`, on the GPU if there is one.

        Raises:
            WeightsError: a file cannot be read.
            ModelError: the folder's configuration is not usable, or memory does not suffice.
        """
        device: Any = "cuda" if torch.cuda.is_available() else "cpu"
        with loading():
            model = (_whole if language else _without_language)(folder).to(device)
        return cls(model, _text_inputs(folder, model) if language else None)

    @property
    def device(self) -> str:
        """Where the model is."""
        return str(self.model.device.type)

    @property
    def dtype(self) -> str:
        """Number formats of vision and language parts."""
        if self.text is None:
            return "float32"
        embeddings: Any = self.model.get_input_embeddings()
        return f"float32 vision, {str(embeddings.weight.dtype).removeprefix('torch.')} language"

    def versions(self) -> dict[str, str]:
        """Of what computes."""
        return {name: version(name) for name in ("torch", "transformers")}

    @torch.inference_mode()
    def see(self, rgb: NDArray[np.uint8]) -> Seen:
        """Runs vision tower, adapter and mask decoder on `[H, W, 3]` pixels."""
        inputs = prepare(rgb)
        overview = to_tensor(inputs.overview)[None].to(self.device)
        tiles = to_tensor(inputs.tiles)[None].to(self.device) if len(inputs.tiles) else None
        found = self.model.detect(self.model.pixels(overview), overview, tiles)
        logits = found.adapter.class_logits[0].double().cpu()
        if not logits.isfinite().all():
            raise ArithmeticError("the class logits are not finite")
        shares = found.adapter.operation_logits[0].softmax(0).tolist()
        return Seen(
            logits.numpy(), dict(zip(OPERATIONS, shares, strict=True)),
            _to_grid(found.mask_logits, rgb.shape[:2]), float(1 - logits.softmax(0)[0]), found,
        )  # fmt: skip

    @torch.inference_mode()
    def explain(self, seen: Seen, about: Told) -> Written:
        """The language model's answer: all of it, or the ends of the outline's lines.

        A model that was not tuned to write freely gets the outline; it then ends every line but
        the first.
        """
        if self.text is None:
            raise ModelError("model_unsupported", "the language model was not loaded", hint="")
        prompt = self.text.prompt_ids(about.judged, about.measured)
        if self.model.config.free_answers:
            return self._freely(prompt, seen)
        text = f"<answer>{about.outline[0]}"
        for start in about.outline[1:]:
            text = f"{text}\n{start}"
            text += self._sentence(prompt + self._ids(text), seen)
        text += "</answer>"
        return Written(text, self._tensor(prompt + self._ids(text)))

    def _freely(self, prompt: list[int], seen: Seen) -> Written:
        given = self._tensor(prompt)
        new = self.model.generate_text(given, torch.ones_like(given), seen.found,
                                       max_new_tokens=MAX_ANSWER_TOKENS)  # fmt: skip
        return Written(self.text.answer_text(new[0]), torch.cat([given, new], 1))  # type: ignore[union-attr]

    def _sentence(self, ids: list[int], seen: Seen) -> str:
        """How the language model goes on, up to the end of the line."""
        given = self._tensor(ids)
        new = self.model.generate_text(given, torch.ones_like(given), seen.found,
                                       max_new_tokens=MAX_NEW_TOKENS)  # fmt: skip
        text: str = self.text.tokenizer.decode(new[0], skip_special_tokens=True)  # type: ignore[union-attr]
        return f" {text.split('</answer>', 1)[0].strip().partition(chr(10))[0].strip()}"

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self.text.tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[union-attr]
        return found

    def _tensor(self, ids: list[int]) -> Tensor:
        return torch.tensor([ids], device=self.device)

    @torch.inference_mode()
    def prompted_mask(self, seen: Seen, ids: Tensor) -> NDArray[np.float32]:
        """The mask that `[SEG]` in these tokens asks for, `[H, W]` in [0, 1]."""
        hidden = self.model.hidden_states(ids, seen.found)
        prompt = self.model.hidden_at(hidden, ids, self.model.config.seg_token_id)
        assert seen.found is not None
        assert seen.heatmap is not None
        adapter = seen.found.adapter
        logits = self.model.mask_decoder(adapter.grid, adapter.fine, prompt)
        return _to_grid(logits, seen.heatmap.shape)


def _to_grid(mask_logits: Tensor, size: tuple[int, ...]) -> NDArray[np.float32]:
    return on_grid(mask_logits[0].float().sigmoid().cpu().numpy(), size)


@contextmanager
def loading() -> Iterator[None]:
    """Turns what goes wrong while weights are read into errors with a way out.

    Raises:
        WeightsError: a file cannot be read.
        ModelError: configuration and weights do not fit, or memory does not suffice.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError) as error:
        raise WeightsError("weights_corrupt", "a weight file cannot be read",
                           hint="vlmf models fetch --force") from error  # fmt: skip
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelError("out_of_memory", "memory does not suffice for the model",
                         hint="close other programs") from error  # fmt: skip
    except (ValueError, KeyError, RuntimeError) as error:
        raise ModelError("model_config_invalid", "configuration and weights do not fit",
                         hint="vlmf models info --check") from error  # fmt: skip


def quieten() -> None:
    """Stops transformers from drawing bars and reporting the parts left out on purpose."""
    from transformers.utils import logging

    quiet: Any = logging
    quiet.disable_progress_bar()
    quiet.set_verbosity_error()


def _whole(folder: Path) -> VlmForensicsModel:
    from vlm_forensics.model.modeling import VlmForensicsModel

    quieten()
    load: Any = VlmForensicsModel.from_pretrained
    model: VlmForensicsModel
    model, info = load(folder, dtype=torch.float32, output_loading_info=True)
    _complete(info["missing_keys"])
    if bfloat16_pays():
        model.language_to(torch.bfloat16)
    return model


def _without_language(folder: Path) -> VlmForensicsModel | light.LightModel:
    """What detects: without transformers where the tower allows, else with no language model."""
    plain = light.read_config(folder)
    return light.load(folder, plain) if light.fits(plain) else _empty_language(folder)


def _empty_language(folder: Path) -> VlmForensicsModel:
    """The model with an empty language model: a fifth of the memory and of the loading time."""
    from vlm_forensics.model.config import VlmForensicsConfig
    from vlm_forensics.model.modeling import VlmForensicsModel

    quieten()
    config = VlmForensicsConfig.from_pretrained(folder)
    language: Any = config.get_text_config()
    language.num_hidden_layers = 0
    language.vocab_size = 1
    language.pad_token_id = None
    load: Any = VlmForensicsModel.from_pretrained
    model: VlmForensicsModel
    model, info = load(
        folder, config=config, dtype=torch.float32, ignore_mismatched_sizes=True,
        output_loading_info=True,
    )  # fmt: skip
    kept = (*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"]))
    _complete(key for key in kept if ".language_model." not in key and "lm_head" not in key)
    return model


def _complete(lacking: Iterable[str]) -> None:
    # Loading alone would fill them with random numbers and go on.
    if count := sum(1 for _ in lacking):
        raise RuntimeError(f"{count} tensors are missing")


def _text_inputs(folder: Path, model: Any) -> TextInputs:
    from transformers import AutoTokenizer

    from vlm_forensics.collate import TextInputs

    return TextInputs.of(AutoTokenizer.from_pretrained(folder), model.config)
