"""One call of a model through the `openai` package, whose HTTP is our guarded client. Import it when it is needed.

The package brings the protocol: Server-Sent Events, errors. What leaves is ours: the URL is the node's `base_url`,
which only the egress guard takes apart, and of the headers only those of the request itself go out, since the package
would add what it finds in the environment (`OPENAI_ORG_ID`, `OPENAI_CUSTOM_HEADERS`). It tries nothing twice: that is
for the node's `retry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.errors import ValueTooLarge
from flowrunner.nodes.http_errors import origin
from flowrunner.nodes.http_sending import USER_AGENT, json_text
from flowrunner.nodes.llm_errors import broken, status_failure, stream_failure
from flowrunner.ports.http import HttpClient, HttpRequest, HttpStream

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer that comes whole; characters of text and arguments of one that is streamed."""
MAX_STREAM = 32 * 1024 * 1024
"""Bytes of a stream, in which each token comes in a wrapping of some hundred bytes."""
MAX_TOOL_CALLS = 128

_NOWHERE = "http://model.invalid"
"""What the package takes for the address; the transport knows the real one."""
_LEFT_OUT = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers about the transfer, which is over when the package sees the body."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where models are asked, and how long and by which rules.

    `base_url` may have a query; `key` None sends no credential; `timeout` is in seconds, for one call.
    """

    base_url: str
    key: str | None
    http: HttpClient
    allow: Sequence[Sequence[str]] = ()
    timeout: float = 120.0
    stop: Callable[[], bool] | None = None
    now: Callable[[], Millis] = lambda: 0

    @property
    def url(self) -> str:
        base, mark, query = self.base_url.partition("#")[0].partition("?")
        return f"{base.rstrip('/')}/chat/completions{mark}{query}"

    @property
    def origin(self) -> str:
        """What error texts show: a path or query may hold a credential."""
        try:
            return origin(self.base_url)
        except ValueError:
            return "the model server"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the model wants to be called; `arguments` is its text, which may be no JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered. `usage` is None when the server counts nothing."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    refusal: str | None = None
    usage: Mapping[str, int] | None = None
    model: str | None = None


def ask(endpoint: Endpoint, body: Mapping[str, Json], told: Callable[[str], None] | None = None) -> Answer:
    """One call. With `told` the answer is streamed, and `told` is given each piece of its text as it comes.

    Raises `StepError` with a code of `llm_errors`, `ValueTooLarge`, and as `HttpClient.send`.
    """
    transport = _Transport(endpoint, streamed=told is not None)
    with httpx2.Client(transport=transport, trust_env=False, follow_redirects=False) as http:
        client = openai.OpenAI(api_key="-", base_url=_NOWHERE, http_client=http, max_retries=0)
        with _translated(endpoint):
            if told is not None:
                return _streamed(client, body, endpoint, told)
            content = json_text(dict(body)).encode()
            response = client.post("/", cast_to=httpx2.Response, content=content)
            return _whole(response.content, endpoint)


def _streamed(
    client: openai.OpenAI, body: Mapping[str, Json], endpoint: Endpoint, told: Callable[[str], None]
) -> Answer:
    content = json_text({"stream_options": {"include_usage": True}, **body, "stream": True}).encode()
    collected = _Collected()
    with client.post("/", cast_to=object, content=content, stream=True, stream_cls=openai.Stream[object]) as stream:
        for chunk in stream:
            told(collected.add(chunk, endpoint))
    return collected.answer(endpoint)


def _whole(content: bytes, endpoint: Endpoint) -> Answer:
    try:
        value = parse_json(content)
    except BadJson as error:
        raise broken(endpoint.origin, f"is {error}") from None
    choice = _first(_map(value).get("choices"))
    message = _map(choice.get("message"))
    if not message:
        raise broken(endpoint.origin, "has no message")
    calls = message.get("tool_calls")
    return Answer(
        text=_text(message.get("content")) or "",
        tool_calls=tuple(_call(one) for one in (calls if isinstance(calls, list) else [])[:MAX_TOOL_CALLS]),
        finish_reason=_text(choice.get("finish_reason")),
        refusal=_text(message.get("refusal")),
        usage=_usage(_map(value).get("usage")),
        model=_text(_map(value).get("model")),
    )


@dataclass(slots=True)
class _Collected:
    """The pieces of a stream put together."""

    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, list[str]]] = field(default_factory=dict)
    size: int = 0
    finish_reason: str | None = None
    usage: Mapping[str, int] | None = None
    model: str | None = None

    def add(self, chunk: object, endpoint: Endpoint) -> str:
        """Take a piece; returns the text that it adds. Raises `ValueTooLarge`."""
        piece = _map(chunk)
        self.usage = _usage(piece.get("usage")) or self.usage
        self.model = self.model or _text(piece.get("model"))
        choice = _first(piece.get("choices"))
        self.finish_reason = _text(choice.get("finish_reason")) or self.finish_reason
        delta = _map(choice.get("delta"))
        text, refusal = _text(delta.get("content")) or "", _text(delta.get("refusal")) or ""
        self.texts.append(text)
        self.refusals.append(refusal)
        self.size += len(text) + len(refusal)
        calls = delta.get("tool_calls")
        for one in calls if isinstance(calls, list) else ():
            self._add_call(_map(one))
        if self.size > MAX_ANSWER:
            raise ValueTooLarge(f"{endpoint.origin} answered with more than {MAX_ANSWER:,} characters")
        return _paired(text)

    def _add_call(self, given: Mapping[Any, Any]) -> None:
        index = given.get("index")
        index = index if isinstance(index, int) else len(self.calls)
        if index not in self.calls and len(self.calls) >= MAX_TOOL_CALLS:
            return
        parts = self.calls.setdefault(index, {"id": [], "name": [], "arguments": []})
        function = _map(given.get("function"))
        for name, value in (("id", given.get("id")), *((name, function.get(name)) for name in ("name", "arguments"))):
            text = _text(value) or ""
            parts[name].append(text)
            self.size += len(text)

    def answer(self, endpoint: Endpoint) -> Answer:
        """All of it. Raises `LLM_SERVER` when the end is missing."""
        if self.finish_reason is None:
            raise broken(endpoint.origin, "breaks off")
        calls = [
            {name: _paired("".join(texts)) for name, texts in self.calls[index].items()} for index in sorted(self.calls)
        ]
        return Answer(
            text=_paired("".join(self.texts)),
            tool_calls=tuple(ToolCall(**call) for call in calls),
            finish_reason=self.finish_reason,
            refusal=_paired("".join(self.refusals)) or None,
            usage=self.usage,
            model=self.model,
        )


class _Transport(httpx2.BaseTransport):
    """httpx2's way out, which leads through the guarded client to the endpoint, whatever the request says."""

    def __init__(self, endpoint: Endpoint, *, streamed: bool) -> None:
        self._endpoint = endpoint
        self._streamed = streamed

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        endpoint = self._endpoint
        headers = [("Content-Type", "application/json"), ("User-Agent", USER_AGENT)]
        headers.append(("Accept", "text/event-stream" if self._streamed else "application/json"))
        if endpoint.key is not None:
            headers.append(("Authorization", f"Bearer {endpoint.key}"))
        sent = HttpRequest(
            "POST",
            endpoint.url,
            headers=headers,
            content=request.read(),
            timeout=endpoint.timeout,
            max_bytes=MAX_STREAM if self._streamed else MAX_ANSWER,
            allow=endpoint.allow,
            stop=endpoint.stop,
        )
        body = _Body(endpoint.http.stream(sent))
        kept = [(name, value) for name, value in body.response.headers.items() if name not in _LEFT_OUT]
        return httpx2.Response(body.response.status, headers=kept, stream=body)


class _Body(httpx2.SyncByteStream):
    """A body as it comes, and the end of the exchange when it is closed."""

    def __init__(self, exchange: AbstractContextManager[HttpStream]) -> None:
        self._stack = ExitStack()
        self.response = self._stack.enter_context(exchange)

    def __iter__(self) -> Iterator[bytes]:
        yield from self.response.pieces

    def close(self) -> None:
        self._stack.close()


@contextmanager
def _translated(endpoint: Endpoint) -> Iterator[None]:
    """The package's errors as ours; what the transport raises is ours already, and comes through it as it is."""
    where = endpoint.origin
    try:
        yield
    except openai.APIStatusError as error:
        headers = {name.lower(): value for name, value in error.response.headers.items()}
        raise status_failure(
            error.status_code, error.body, headers, origin=where, key=endpoint.key, now=endpoint.now()
        ) from None
    except openai.APIError as error:
        raise stream_failure(error.body, origin=where, key=endpoint.key) from None
    except (ValueError, RecursionError):
        raise broken(where, "is not what the protocol says") from None


def _map(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _first(value: object) -> Mapping[Any, Any]:
    return _map(value[0]) if isinstance(value, list) and value else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _paired(text: str) -> str:
    """Text without halves of surrogate pairs: two that were cut apart are one character again."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _call(value: object) -> ToolCall:
    function = _map(_map(value).get("function"))
    return ToolCall(
        _text(_map(value).get("id")) or "",
        _text(function.get("name")) or "",
        _text(function.get("arguments")) or "",
    )


def _usage(value: object) -> Mapping[str, int] | None:
    given = _map(value)
    counts = {name: given.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    numbers = {name: min(count, 2**53) for name, count in counts.items() if isinstance(count, int) and count >= 0}
    if not numbers:
        return None
    prompt, completion = numbers.get("prompt_tokens", 0), numbers.get("completion_tokens", 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": numbers.get("total_tokens", prompt + completion),
    }
