"""A client of any OpenAI-compatible chat endpoint: vLLM, llama.cpp, Ollama, hosted services.

    endpoint = ChatEndpoint("http://localhost:8000/v1", "Qwen/Qwen2.5-VL-7B-Instruct")
    endpoint.ask([message("user", "What is wrong here?", (data, "image/jpeg"))]).text

Retries, waiting times and the number of connections are urllib3's. What comes back is text of a
stranger: it is bounded, checked, and an answer that is not whole is an error, never a shorter one.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import urllib3
from pydantic import BaseModel, Field, ValidationError
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    LocationParseError,
    MaxRetryError,
    ReadTimeoutError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry, Timeout, Url, parse_url

from vlm_forensics.errors import EndpointError
from vlm_forensics.image import printable

__all__ = ["HOPELESS", "Access", "ChatEndpoint", "Reply", "Usage", "message", "read_key"]

MAX_BODY = 512 * 1024
"""Bytes of a whole answer; 32,000 tokens of reasoning fit."""
MAX_WAIT = 120
"""Seconds of a server's Retry-After that are obeyed; a longer one is cut to this."""
HOPELESS = frozenset({"endpoint_unauthorized", "endpoint_not_found", "endpoint_rate_limited",
                      "endpoint_unreachable"})  # fmt: skip
"""Errors that every further sample would meet too: they end the run and blame no sample."""
_CONNECT_TRIES = 2
_RETRIED = (408, 429, 500, 502, 503, 504)
_HINTS = {
    "endpoint_unauthorized": "check the key in the variable that --key-env names",
    "endpoint_not_found": "check --url, which usually ends in /v1, and the name of the model",
    "endpoint_rate_limited": "wait, or ask more slowly with --rate and --jobs",
    "endpoint_unreachable": "check --url and that the server runs",
    "endpoint_timeout": "give a longer --timeout, or fewer --jobs",
    "answer_truncated": "give more --max-tokens",
}

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the server counts them."""

    input: int = 0
    output: int = 0
    uncounted: int = 0
    """Answers that came without a count."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input + other.input, self.output + other.output,
                     self.uncounted + other.uncounted)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole, non-empty answer."""

    text: str
    usage: Usage
    finish_reason: str | None
    attempts: int = 1
    """HTTP requests until it came."""


class AnswerError(EndpointError):
    """The server answered, and may charge for it, but the answer cannot be used."""

    def __init__(self, code: str, message: str, usage: Usage) -> None:
        super().__init__(code, message, hint=_HINTS.get(code, ""))
        self.usage = usage


@dataclass(frozen=True, slots=True)
class Access:
    """How hard an endpoint is asked."""

    key: str = field(default="", repr=False)
    """Sent as a bearer token; empty for none. Never part of a message."""
    timeout: float = 120.0
    """Seconds that a connection or an answer may take."""
    retries: int = 5
    """Further tries after 408, 429, 5xx, a timeout or a lost connection."""
    backoff: float = 1.0
    """Seconds that double with every try, where the server does not say how long to wait."""
    connections: int = 4
    """Requests at a time."""
    per_minute: float | None = None
    """Requests started in a minute, retries not counted; None for no limit."""


class _Tokens(BaseModel):
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class _Text(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Text
    finish_reason: str | None = None


class _Completion(BaseModel):
    """The part of a chat completion that is read."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Tokens | None = None


class _Patience(Retry):
    """urllib3's retries, which give up on a Retry-After that is neither seconds nor a date."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            return super().get_retry_after(response)
        except InvalidHeader:
            return None


class ChatEndpoint:
    """One model behind one `/chat/completions`; safe to share between threads."""

    def __init__(
        self, url: str, model: str, access: Access | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Connects to nothing yet.

        Args:
            url: up to and including `/v1`.
            model: as the server names it.
            access: key, patience and pace.
            extra: fields of the request body to add or replace; None removes one.

        Raises:
            EndpointError: endpoint_bad_url.
        """
        self.model = model
        self._access = access or Access()
        self._extra = dict(extra or {})
        parsed = _checked(url)
        path = (parsed.path or "").rstrip("/").removesuffix("/chat/completions")
        self._url = parsed._replace(path=f"{path}/chat/completions", fragment=None).url
        self._pool = _pool(parsed, self._access)
        self._pace = _Pace(self._access.per_minute)

    def body(
        self, messages: Sequence[Message], *, max_tokens: int, seed: int, temperature: float
    ) -> dict[str, Any]:
        """The request that `ask` sends: all that decides the answer, so a key for caches."""
        sent = {"model": self.model, "messages": list(messages), "max_tokens": max_tokens,
                "seed": seed, "temperature": temperature, "stream": False}  # fmt: skip
        return {name: value for name, value in (sent | self._extra).items() if value is not None}

    def ask(
        self, messages: Sequence[Message], *, max_tokens: int = 1024, seed: int = 0,
        temperature: float = 0.0,
    ) -> Reply:  # fmt: skip
        """The model's answer.

        Args:
            messages: of `message`.
            max_tokens: longest answer.
            seed: of the sampling, where the server honours one.
            temperature: 0 for the likeliest words.

        Raises:
            EndpointError: endpoint_unauthorized, endpoint_not_found, endpoint_rate_limited,
                endpoint_timeout, endpoint_unreachable, endpoint_refused, endpoint_failed.
            AnswerError: answer_truncated, answer_empty, answer_filtered, answer_invalid,
                answer_too_large.
        """
        sent = self.body(messages, max_tokens=max_tokens, seed=seed, temperature=temperature)
        return self.post(sent)

    def post(self, body: Mapping[str, Any]) -> Reply:
        """The answer to a request of `body`; raises as `ask`."""
        self._pace.wait()
        try:
            response = self._pool.request(
                "POST", self._url, body=json.dumps(body).encode(), headers=self._headers(),
                redirect=False, preload_content=False,
            )  # fmt: skip
            try:
                data = self._read(response)
            finally:
                response.close()
                response.release_conn()
        except HTTPError as error:
            raise _lost(error) from None
        if response.status != 200:
            raise self._refusal(response.status, data)
        history = response.retries.history if response.retries else ()
        return _reply(data, len(history) + 1)

    def _headers(self) -> dict[str, str]:
        key = {"Authorization": f"Bearer {self._access.key}"} if self._access.key else {}
        return {"Content-Type": "application/json", "User-Agent": "vlm_forensics"} | key

    def _read(self, response: BaseHTTPResponse) -> bytes:
        """The body, within bounds of size and time; a trickle must not hold us for ever."""
        deadline = time.monotonic() + self._access.timeout
        found = bytearray()
        while chunk := response.read1(64 * 1024):
            found += chunk
            if len(found) > MAX_BODY:
                raise AnswerError("answer_too_large", f"the answer exceeds {MAX_BODY >> 10} kB",
                                  Usage(uncounted=1))  # fmt: skip
            if time.monotonic() > deadline:
                raise _error("endpoint_timeout", "the answer did not end in time")
        return bytes(found)

    def _refusal(self, status: int, data: bytes) -> EndpointError:
        if status in {401, 402, 403}:
            return _error("endpoint_unauthorized", f"the endpoint refused access (HTTP {status})")
        if status == 404:
            return _error("endpoint_not_found", "the endpoint has no such path or model (HTTP 404)")
        if status == 429:
            return _error("endpoint_rate_limited", "the endpoint allows no more requests (HTTP 429)"
                          )  # fmt: skip
        if status >= 500 or status == 408:
            return _error("endpoint_failed", f"the endpoint failed (HTTP {status})")
        # Its words help to find the reason, but a careless server may repeat the key in them.
        said = _server_words(data)
        if self._access.key:
            said = said.replace(self._access.key, "***")
        said = printable(said)
        return _error("endpoint_refused",
                      f"the endpoint refused the request (HTTP {status}){said and ': ' + said}"
                      )  # fmt: skip


def message(role: str, text: str, image: tuple[bytes, str] | None = None) -> dict[str, Any]:
    """One message of a conversation.

    Args:
        role: system, user or assistant.
        text: what is said.
        image: a file's bytes and its media type, put before the text.
    """
    if image is None:
        return {"role": role, "content": text}
    data, media_type = image
    url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    return {"role": role, "content": [{"type": "image_url", "image_url": {"url": url}},
                                      {"type": "text", "text": text}]}  # fmt: skip


def read_key(variable: str) -> str:
    """The key in this environment variable.

    Raises:
        EndpointError: endpoint_no_key; the message names the variable, never what it holds.
    """
    key = os.environ.get(variable, "").strip()
    # The HTTP library would quote a key with other characters in its error.
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        what = "holds no usable key" if key else "is not set"
        raise EndpointError("endpoint_no_key", f"the environment variable {variable} {what}",
                            hint=f"export {variable}=… and repeat the command")  # fmt: skip
    return key


class _Pace:
    """Lets callers through one by one at even distances."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            due = max(time.monotonic(), self._next)
            self._next = due + self._gap
        time.sleep(max(0.0, due - time.monotonic()))


def _checked(url: str) -> Url:
    try:
        parsed = parse_url(url.strip())
    except LocationParseError:
        parsed = Url()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise EndpointError("endpoint_bad_url", "the address of the endpoint is no http(s) URL",
                            hint="for example http://localhost:8000/v1")  # fmt: skip
    if parsed.auth:
        raise EndpointError("endpoint_bad_url", "the address of the endpoint holds a password",
                            hint="put the key into a variable and name it with --key-env"
                            )  # fmt: skip
    return parsed


def _pool(url: Url, access: Access) -> urllib3.PoolManager:
    tries = access.retries
    retries = _Patience(
        total=tries, connect=min(_CONNECT_TRIES, tries), redirect=False,
        allowed_methods=None, status_forcelist=_RETRIED, raise_on_status=False,
        backoff_factor=access.backoff, backoff_max=MAX_WAIT, backoff_jitter=access.backoff / 2,
        retry_after_max=MAX_WAIT,
    )  # fmt: skip
    options: dict[str, Any] = {
        "maxsize": access.connections, "block": True, "retries": retries,
        "timeout": Timeout(connect=min(10.0, access.timeout), read=access.timeout),
    }  # fmt: skip
    proxy = urllib.request.getproxies().get(url.scheme or "")
    if proxy and not urllib.request.proxy_bypass(url.host or ""):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _lost(error: HTTPError) -> EndpointError:
    reason = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, ReadTimeoutError):
        return _error("endpoint_timeout", "the endpoint did not answer in time")
    if isinstance(reason, ConnectTimeoutError):  # a refused connection is one of these too
        return _error("endpoint_unreachable", "the endpoint cannot be reached")
    return _error("endpoint_unreachable", f"the connection was lost ({type(reason).__name__})")


def _reply(data: bytes, attempts: int) -> Reply:
    try:
        completion = _Completion.model_validate_json(data)
    except ValidationError:
        raise AnswerError("answer_invalid", "the answer is no chat completion",
                          Usage(uncounted=1)) from None  # fmt: skip
    tokens = completion.usage
    usage = Usage(tokens.prompt_tokens, tokens.completion_tokens) if tokens else Usage(uncounted=1)
    choice = completion.choices[0]
    text = choice.message.content or ""
    if choice.finish_reason == "length":
        raise AnswerError("answer_truncated", "the answer was cut off at the longest length", usage)
    if choice.finish_reason == "content_filter":
        raise AnswerError("answer_filtered", "the endpoint's filter withheld the answer", usage)
    if not text.strip():
        raise AnswerError("answer_empty", "the answer is empty", usage)
    return Reply(text, usage, choice.finish_reason, attempts)


def _server_words(data: bytes) -> str:
    try:
        content = json.loads(data)
    except ValueError:
        return data[:2000].decode("utf-8", "replace")
    error = content.get("error", content) if isinstance(content, dict) else content
    return str(error.get("message", error) if isinstance(error, dict) else error)


def _error(code: str, message: str) -> EndpointError:
    return EndpointError(code, message, hint=_HINTS.get(code, ""))
