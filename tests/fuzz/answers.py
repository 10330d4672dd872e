"""Doors for the answers of others' servers: of language models, whole and streamed, and of any other over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import orjson
from flowrunner.errors import StepError
from flowrunner.nodes.http_errors import MAX_RETRY_AFTER, read_body, retry_after
from flowrunner.nodes.llm_client import MAX_TOOL_CALLS, Endpoint, ask
from flowrunner.ports.http import HttpRequest, HttpResponse, HttpStream

from tests.fuzz.target import ACCEPTED, REFUSED, Target, told, words

KEY = "sk-CANARY-of-the-model"


@dataclass
class Answering:
    """A client whose every request is answered with these bytes, in pieces of that size."""

    status: int
    kind: str
    body: bytes
    size: int

    @contextmanager
    def stream(self, request: HttpRequest) -> Iterator[HttpStream]:
        pieces = (self.body[at : at + self.size] for at in range(0, len(self.body), self.size))
        yield HttpStream(self.status, {"content-type": self.kind}, pieces, request.url)

    def send(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(self.status, {"content-type": self.kind}, self.body, request.url)

    def close(self) -> None:
        """Nothing is open."""


def model(data: bytes) -> str:
    """An answer behind a line with its status, the size of its pieces and its content type, taken whole and streamed."""
    head, _, body = data.partition(b"\n")
    first, _, kind = head.decode("latin-1").partition(" ")
    status, _, size = first.partition("/")
    if not (status.isdecimal() and status.isascii() and 100 <= int(status[:6]) <= 599):
        return REFUSED
    pieces = int(size[:4]) if size.isdecimal() and size.isascii() else 7
    client = Answering(int(status[:6]), kind.strip() or "application/json", body, max(1, pieces))
    return ACCEPTED if ACCEPTED in {_asked(client, streamed=False), _asked(client, streamed=True)} else REFUSED


def _asked(client: Answering, *, streamed: bool) -> str:
    heard: list[str] = []
    endpoint = Endpoint("https://model.example/v1", KEY, client)
    try:
        answer = ask(endpoint, {"model": "m", "messages": []}, heard.append if streamed else None)
    except StepError as refused:
        told(refused.code and refused.message, "a failure without words")
        told(KEY not in refused.message + str(refused.details), "a failure shows the key")
        return REFUSED
    told(len(answer.tool_calls) <= MAX_TOOL_CALLS, "more calls than anybody makes")
    if streamed:
        told("".join(heard).encode("utf-8", "replace") is not None, "pieces that are no text")
    orjson.dumps([answer.text, answer.refusal, answer.finish_reason, answer.model, dict(answer.usage or {})])
    orjson.dumps([[one.id, one.name, one.arguments] for one in answer.tool_calls])
    return ACCEPTED


def response(data: bytes) -> str:
    """A body behind a line with its content type and one with its Retry-After, read in each of the four ways."""
    kind, _, rest = data.partition(b"\n")
    wait, _, body = rest.partition(b"\n")
    headers = {"content-type": kind.decode("latin-1"), "retry-after": wait.decode("latin-1")}
    seconds = retry_after(headers, 0)
    told(seconds is None or 0 <= seconds <= MAX_RETRY_AFTER, "a wait without end")
    taken = HttpResponse(200, headers, body, "https://a.example/?secret=1")
    ways: tuple[Literal["auto", "json", "text", "bytes"], ...] = ("auto", "json", "text", "bytes")
    outcome = ACCEPTED
    for how in ways:
        try:
            orjson.dumps(read_body(taken, how))
        except StepError as refused:
            told(how == "json" and refused.code == "InvalidResponse", "a body that is only text is refused")
            told("secret=1" not in refused.message, "a failure shows a query")
            outcome = REFUSED
    return outcome


_RESPONSE = words(
    "application/json text/plain text/html application/xml +json ; charset= utf-8 utf-16 utf-7 latin-1 idna punycode undefined rot13 "
    'unicode_escape raw_unicode_escape hz iso2022_jp big5 gb18030 cp932 "utf-8" 120 99999999999999 Wed, 21 Oct 2026 07:28:00 GMT '
    "-1 +9999 Jan 0000 9999 \\N{X} +ADw- \\ud800",
    b"\n",
    b"\n\n",
    b"\x1b$B",
    b"\xff\xfe",
)
_MODEL = words(
    '200 200/1 400 401 429 500 503 text/event-stream application/json data: data:{} [DONE] event: id: retry: : {"choices":[{"message": '
    '{"delta":{"content":"a"}} "delta": "content": "tool_calls": "index": "function": "name": "arguments": "finish_reason":"stop" '
    '"usage":{"prompt_tokens":1,"completion_tokens":2} "model": "refusal": "error":{"message":"x","type":"y","code":1} \\ud83d \\ude00 '
    "null [] {} 1e400 -1 true NaN",
    b"\n\n",
    b"\ndata: ",
    b"\r\n\r\n",
    b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n',
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)

TARGETS = (Target("model", model, _MODEL, pace=20), Target("response", response, _RESPONSE, pace=2))
