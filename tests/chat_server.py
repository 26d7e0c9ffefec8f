"""A server of the chat completions API, over real HTTP on this machine, that misbehaves when it is told to."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from .serving import serving

PROMPT_TOKENS, COMPLETION_TOKENS = 1200, 80


@dataclass
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict
    time: float

    @property
    def picture(self) -> str:
        """The picture in it, as a data URL."""
        (user,) = [one for one in self.body["messages"] if isinstance(one["content"], list)]
        return next(part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url")

    @property
    def classes(self) -> list[str]:
        return self.body["response_format"]["json_schema"]["schema"]["properties"]["class"]["enum"]


@dataclass
class ChatServer:
    """What was asked, and what is to be answered.

    `behave` is given the number of the request (from 0) and the request, and returns a function that answers it;
    without it, and where it returns None, every picture gets a class of its own choosing, always the same one.
    """

    behave: Callable[[int, Asked], Callable | None] = lambda number, asked: None
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    port: int = 0
    _now: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def answer(word: str = "stroma", confidence: float = 0.75, rationale: str = "slender nuclei", **more) -> Callable:
    """Answer as asked for."""
    return say(json.dumps({"rationale": rationale, "class": word, "confidence": confidence}), **more)


def say(text: str, *, slow: float = 0, **more) -> Callable:
    """Answer with some text, in a proper `document`."""

    def send(handler) -> None:
        time.sleep(slow)
        reply(handler, 200, document(text, **more))

    return send


def document(text: str, *, finish: str = "stop", refusal: str | None = None, usage: bool = True) -> dict:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    told = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "seer-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
    }
    total = PROMPT_TOKENS + COMPLETION_TOKENS
    counts = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS, "total_tokens": total}
    return told | ({"usage": counts} if usage else {})


def fail(status: int, message: str = "no", **headers: str) -> Callable:
    """Answer with an error. What stands for KEY in the message is the key that came with the request."""

    def send(handler) -> None:
        key = handler.headers.get("authorization", "").removeprefix("Bearer ")
        error = {"message": message.replace("KEY", key), "type": "error", "code": headers.get("code")}
        reply(handler, status, {"error": error}, {name.replace("_", "-"): value for name, value in headers.items()})

    return send


def hang(seconds: float) -> Callable:
    """Say nothing for so long."""
    return lambda handler: time.sleep(seconds)


def page(handler) -> None:
    """Answer with a web page, as proxies do."""
    send_bytes(handler, 200, b"<html>Please log in</html>", {"content-type": "text/html"})


def half(handler) -> None:
    """Break off in the middle of the document."""
    whole = json.dumps(document('{"class": "stroma"')).encode()
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(whole)))
    handler.end_headers()
    handler.wfile.write(whole[: len(whole) // 2])
    handler.wfile.flush()
    handler.close_connection = True


def half_of_a_stream(handler) -> None:
    """Break off between two chunks."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    part = json.dumps(document("{}")).encode()[:80]
    handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    handler.wfile.flush()
    handler.close_connection = True


def reply(handler, status: int, content: dict, headers: dict | None = None) -> None:
    send_bytes(handler, status, json.dumps(content).encode(), {"content-type": "application/json", **(headers or {})})


def send_bytes(handler, status: int, content: bytes, headers: dict) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def of_its_own_choosing(asked: Asked) -> Callable:
    """One of the classes that the schema allows, by the picture."""
    number = int(hashlib.sha256(asked.picture.encode()).hexdigest(), 16)
    return answer(asked.classes[number % len(asked.classes)])


@contextmanager
def running(behave: Callable[[int, Asked], Callable | None] | None = None):
    """Yield a `ChatServer` that listens on a port of this machine."""
    state = ChatServer()
    if behave:
        state.behave = behave

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.path, headers, body, time.monotonic())
            with state._guard:
                number = len(state.asked)
                state.asked.append(asked)
                state._now += 1
                state.most_at_once = max(state.most_at_once, state._now)
            try:
                (state.behave(number, asked) or of_its_own_choosing(asked))(self)
            except (BrokenPipeError, ConnectionResetError):
                # Who asked has given up.
                self.close_connection = True
            finally:
                with state._guard:
                    state._now -= 1

        def log_message(self, *_) -> None:
            pass

    with serving(Handler) as state.port:
        yield state
