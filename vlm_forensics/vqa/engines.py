"""What answers a question about a picture: a chat endpoint, or a model in a folder.

An engine that cannot go on raises a typed error; an answer that is not whole is an `AnswerError`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from vlm_forensics import weights
from vlm_forensics.endpoint import Access, AnswerError, ChatEndpoint, Usage, message
from vlm_forensics.errors import ModelError
from vlm_forensics.image import printable
from vlm_forensics.vqa.pictures import Picture

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_TOKENS = 400
"""Of one answer; the form that is asked for takes fewer than 100."""


class Engine(Protocol):
    """A vision-language model."""

    id: str
    """Names the model and tells it from others of the same name; part of cache keys."""
    device: str
    dtype: str
    digests: Mapping[str, str]
    """sha256 of its files; empty where they are not here."""
    usage: Usage
    """Tokens of all answers so far, unusable ones included."""
    parallel: int
    """Questions that it takes at a time."""

    def answer(self, question: str, picture: Picture | None) -> str:
        """The likeliest answer, whole.

        Args:
            question: everything that is said to the model.
            picture: None for a question about text alone.

        Raises:
            AnswerError: there was an answer that cannot be used.
            EndpointError: the endpoint cannot be asked.
            ModelError: the model cannot be asked.
        """
        ...


class EndpointEngine:
    """A model behind an OpenAI-compatible endpoint."""

    device, dtype = "remote", "unknown"
    digests: Mapping[str, str] = {}

    def __init__(
        self, url: str, model: str, access: Access | None = None,
        extra: Mapping[str, Any] | None = None, *, max_tokens: int = MAX_TOKENS,
    ) -> None:  # fmt: skip
        """Connects to nothing yet.

        Args:
            url: up to and including `/v1`.
            model: as the server names it.
            access: key, patience and pace.
            extra: fields of the request body to add or replace; None removes one.
            max_tokens: longest answer.

        Raises:
            EndpointError: endpoint_bad_url.
        """
        access = access or Access()
        self._chat = ChatEndpoint(url, model, access, extra)
        self._max_tokens = max_tokens
        self._counting = threading.Lock()
        self.parallel = access.connections
        # Two servers may give one name to different models; an address is nobody's business.
        asked = json.dumps([url, extra or {}], sort_keys=True)
        self.id = f"{printable(model)}@{hashlib.sha256(asked.encode()).hexdigest()[:8]}"
        self.usage = Usage()

    def answer(self, question: str, picture: Picture | None) -> str:
        """As `Engine.answer`."""
        image = None if picture is None else (picture.jpeg, "image/jpeg")
        try:
            reply = self._chat.ask([message("user", question, image)], max_tokens=self._max_tokens)
        except AnswerError as error:
            self._count(error.usage)
            raise
        self._count(reply.usage)
        return reply.text

    def _count(self, usage: Usage) -> None:
        with self._counting:
            self.usage += usage


class LocalEngine:
    """A stock image-text model of transformers in a folder of safetensors, on GPU or CPU."""

    parallel = 1

    def __init__(
        self, model: PreTrainedModel, processor: Any, name: str, digests: Mapping[str, str],
        *, max_tokens: int = MAX_TOKENS,
    ) -> None:  # fmt: skip
        self._model: Any = model.train(False)
        self._processor, self._max_tokens = processor, max_tokens
        self.digests = digests
        everything = hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()
        self.id = f"{name}@{everything[:8]}"
        self.device = str(self._model.device.type)
        self.dtype = str(self._model.dtype).removeprefix("torch.")
        self.usage = Usage()

    @classmethod
    def load(cls, folder: Path, *, max_tokens: int = MAX_TOKENS) -> Self:
        """The model in `folder`; no code of the folder is run, and no network is used.

        Raises:
            WeightsError: a file is missing, damaged, or not safe to load.
            ModelError: it is no image-text model, or its processor cannot be had.
        """
        from vlm_forensics.vqa.local import load_model, load_processor

        weights.assert_safe(folder)
        processor = load_processor(folder)
        model = load_model(folder)
        name = printable(folder.resolve().name) or "model"
        return cls(model, processor, name, weights.digests(folder), max_tokens=max_tokens)

    def answer(self, question: str, picture: Picture | None) -> str:
        """As `Engine.answer`."""
        import torch

        try:
            with torch.inference_mode():
                given = self._inputs(question, picture)
                new = self._model.generate(**given, do_sample=False, num_beams=1,
                                           max_new_tokens=self._max_tokens)  # fmt: skip
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise ModelError("out_of_memory", "memory does not suffice for an answer",
                             hint="take a smaller model") from error  # fmt: skip
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            raise ModelError("model_failed", f"the model failed ({type(error).__name__})",
                             hint="check that transformers runs it, without vlm_forensics"
                             ) from error  # fmt: skip
        return self._decoded(new[0, given["input_ids"].shape[1] :], given)

    def _decoded(self, new: Any, given: Any) -> str:
        spent = Usage(int(given["input_ids"].shape[1]), len(new))
        self.usage += spent
        if len(new) >= self._max_tokens:
            raise AnswerError("answer_truncated", "the answer did not end", spent)
        text: str = self._tokenizer.decode(new, skip_special_tokens=True)
        if not text.strip():
            raise AnswerError("answer_empty", "the answer is empty", spent)
        return text

    @property
    def _tokenizer(self) -> Any:
        return getattr(self._processor, "tokenizer", self._processor)

    def _inputs(self, question: str, picture: Picture | None) -> Any:
        """Token ids, mask and pixels of one turn, on the model's device."""
        from PIL import Image

        turn = self._turn(question, with_picture=picture is not None)
        # The template writes the opening token itself where the model wants one.
        opened = bool(self._tokenizer.bos_token) and turn.startswith(self._tokenizer.bos_token)
        plain = {"return_tensors": "pt", "add_special_tokens": not opened}
        if picture is None:
            return self._tokenizer([turn], **plain).to(self._model.device)
        given = self._processor(images=[Image.fromarray(picture.rgb)], text=[turn], **plain)
        return given.to(self._model.device, dtype=self._model.dtype)

    def _turn(self, question: str, *, with_picture: bool) -> str:
        from vlm_forensics import backbones

        content: list[dict[str, str]] = [{"type": "image"}] if with_picture else []
        message = {"role": "user", "content": [*content, {"type": "text", "text": question}]}
        template = self._template or backbones.for_config(self._model.config).chat_template
        turn = self._tokenizer.apply_chat_template(
            [message], chat_template=template, tokenize=False, add_generation_prompt=True
        )
        return str(turn)

    @property
    def _template(self) -> str | None:
        """The folder's own template; None if it has none that shows pictures."""
        own = getattr(self._processor, "chat_template", None) or self._tokenizer.chat_template
        if isinstance(own, dict):
            own = own.get("default")
        return own if isinstance(own, str) and "image" in own else None
