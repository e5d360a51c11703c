"""A local server that plays an OpenAI-compatible endpoint, well or badly."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]
Turn = Callable[[BaseHTTPRequestHandler, Request], None]

NOTHING = '{"artifact": "absent", "confidence": 0.9, "where": "", "quote": ""}'
SIGN = '{"artifact": "present", "confidence": 0.8, "where": "left hand", "quote": "six fingers"}'


class Server:
    """Answers with the next scripted turn, else with `default`; `say` decides by the question."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.default: Turn | None = None
        self.say: Callable[[str], str] = lambda _: NOTHING
        self.shows = "A, D"
        self.requests: list[Request] = []
        self.url = ""

    def answer(self, request: Request) -> str:
        asked = text_of(request)
        if "What does this picture show?" in asked:
            return self.shows
        return self.say(asked)


def text_of(request: Request) -> str:
    """What is said in the one message of a request."""
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


def image_of(request: Request) -> str | None:
    content = request["messages"][-1]["content"]
    return None if isinstance(content, str) else str(content[0]["image_url"]["url"])


def send(handler: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def says(text: str | None, finish: str = "stop") -> Turn:
    choice = {"index": 0, "finish_reason": finish,
              "message": {"role": "assistant", "content": text}}  # fmt: skip
    usage = {"prompt_tokens": 700, "completion_tokens": 40, "total_tokens": 740}
    body = {"object": "chat.completion", "choices": [choice], "usage": usage}
    return lambda handler, _: send(handler, 200, body)


def fails(status: int, body: Any = b"", **headers: str) -> Turn:
    return lambda handler, _: send(handler, status, body, **headers)


def hangs(handler: BaseHTTPRequestHandler, _: Request) -> None:
    del handler
    time.sleep(1.0)


@contextmanager
def serving() -> Iterator[Server]:
    state, lock = Server(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                state.requests.append(request)
                turn = state.turns.pop(0) if state.turns else state.default
            try:
                (turn or says(state.answer(request)))(self, request)
            except OSError:  # the client has left
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that leave early are part of the play."""

    http = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    state.url = f"http://127.0.0.1:{http.server_port}/v1"
    yield state
    http.shutdown()
    http.server_close()


def told_real(asked: str) -> bool:
    return bool(re.match("Assume that this picture is a photograph", asked))


def told_forged(asked: str) -> bool:
    return bool(re.match("Assume that this picture was generated", asked))
