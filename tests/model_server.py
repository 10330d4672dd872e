"""A model server for tests: it speaks the chat completions API of OpenAI, whole and streamed, and says what a test
wrote down.

    with ModelServer([Says("Hello"), Fails(429, "rate_limit_exceeded")]) as server:
        ...  # base_url is server.base_url
    assert server.asked[0]["messages"] == [...]

Like the real one it answers 400 to a request that is none, and to results of tools that nobody asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.servers import Raw, Received, RecordingServer, Reply

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Calls:
    """A tool call of the model; `arguments` is a text as models write it, or a value."""

    name: str
    arguments: Any = field(default_factory=dict)
    id: str = "call_1"

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Says:
    """An answer. Streamed it comes in `pieces` (words unless given), `pause` seconds apart.

    `cut` ends a stream in the middle, without its last piece; `usage` None counts nothing.
    """

    text: str = ""
    calls: Sequence[Calls] = ()
    finish_reason: str | None = None
    refusal: str | None = None
    usage: tuple[int, int] | None = (7, 5)
    pieces: Iterable[str] | None = None
    pause: float = 0.0
    cut: bool = False

    @property
    def reason(self) -> str:
        return self.finish_reason or ("tool_calls" if self.calls else "stop")


@dataclass(frozen=True)
class Fails:
    """An error as the API words it."""

    status: int
    code: str | None = None
    message: str = "no"
    headers: tuple[tuple[str, str], ...] = ()


Turn = Says | Fails | Reply | Raw | Callable[[Body], Says | Fails]


class ModelServer:
    """Answers each request by the next turn of the script; when it is over, by 500."""

    def __init__(self, script: Iterable[Turn] = (), key: str | None = None) -> None:
        self._script = iter(script)
        self._key = key
        self._server = RecordingServer(self._route)
        self.asked: list[Body] = []
        """The bodies of the requests."""

    @property
    def base_url(self) -> str:
        return f"{self._server.url}/v1"

    @property
    def requests(self) -> list[Received]:
        return self._server.requests

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def _route(self, request: Received) -> Reply | Raw:
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            return _failure(Fails(404, None, f"no such path: {request.path}"))
        if self._key is not None and request.headers.get("authorization") != f"Bearer {self._key}":
            given = request.headers.get("authorization", "none").removeprefix("Bearer ")
            return _failure(Fails(401, "invalid_api_key", f"Incorrect API key provided: {given}"))
        body = json.loads(request.body)
        self.asked.append(body)
        wrong = _wrong(body)
        if wrong is not None:
            return _failure(Fails(400, "invalid_request_error", wrong))
        turn = next(self._script, Fails(500, "server_error", "the script of the test is over"))
        if callable(turn):
            turn = turn(body)
        match turn:
            case Says():
                return _streamed(turn, body) if body.get("stream") else _whole(turn, body)
            case Fails():
                return _failure(turn)
            case _:
                return turn


def _wrong(body: Body) -> str | None:
    """What the API would say against a request."""
    messages = body.get("messages")
    if not isinstance(body.get("model"), str) or not isinstance(messages, list) or not messages:
        return "model and messages are required"
    if body.get("stream_options") is not None and not body.get("stream"):
        return "stream_options is for streams"
    open_calls: set[str] = set()
    for message in messages:
        role = message.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool"):
            return f"there is no role {role!r}"
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return "a message of role tool must answer a preceding tool call"
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            return "tool calls must be followed by their results"
        if message.get("content") is None and not message.get("tool_calls"):
            return f"a message of role {role} needs content"
        open_calls |= {call["id"] for call in message.get("tool_calls") or ()}
    return None


def _whole(turn: Says, body: Body) -> Reply:
    message: dict[str, Any] = {"role": "assistant", "content": turn.text or None, "refusal": turn.refusal}
    if turn.calls:
        message["tool_calls"] = [_call(call) for call in turn.calls]
    value = {
        **_head(body, "chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": turn.reason, "logprobs": None}],
        "usage": _usage(turn),
    }
    return Reply(200, json.dumps(value).encode(), (("Content-Type", "application/json"),))


def _streamed(turn: Says, body: Body) -> Reply:
    head = _head(body, "chat.completion.chunk")

    def events() -> Iterator[bytes]:
        yield _event({**head, "choices": [_delta({"role": "assistant", "content": ""})]})
        for piece in turn.pieces if turn.pieces is not None else _words(turn.text):
            yield _event({**head, "choices": [_delta({"content": piece})]})
        if turn.refusal:
            yield _event({**head, "choices": [_delta({"refusal": turn.refusal})]})
        for index, call in enumerate(turn.calls):
            first, half = _call(call), len(call.text) // 2
            begun = {**first, "index": index, "function": {"name": call.name, "arguments": call.text[:half]}}
            yield _event({**head, "choices": [_delta({"tool_calls": [begun]})]})
            rest = {"index": index, "function": {"arguments": call.text[half:]}}
            yield _event({**head, "choices": [_delta({"tool_calls": [rest]})]})
        if turn.cut:
            return
        yield _event({**head, "choices": [{**_delta({}), "finish_reason": turn.reason}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            yield _event({**head, "choices": [], "usage": _usage(turn)})
        yield b"data: [DONE]\n\n"

    return Reply(200, headers=(("Content-Type", "text/event-stream"),), chunks=events(), pause=turn.pause)


def _words(text: str) -> Iterator[str]:
    """Words with the space before them, as tokens mostly come."""
    for index, word in enumerate(text.split(" ") if text else ()):
        yield word if index == 0 else f" {word}"


def _head(body: Body, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": f"{body['model']}-2026"}


def _delta(delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": None}


def _call(call: Calls) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}}


def _usage(turn: Says) -> dict[str, int] | None:
    if turn.usage is None:
        return None
    prompt, completion = turn.usage
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _failure(turn: Fails) -> Reply:
    error = {"error": {"message": turn.message, "type": "error", "param": None, "code": turn.code}}
    return Reply(turn.status, json.dumps(error).encode(), (("Content-Type", "application/json"), *turn.headers))
