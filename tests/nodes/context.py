"""A context for trying one node without an engine: plain attributes in, what the node did out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.engine.schema_check import validator
from flowrunner.nodes.base import Callback, ChildRuns, FlowNote, Level, NodeType, Params, RunInfo
from flowrunner.ports.dialer import Dialer
from flowrunner.ports.http import HttpClient, HttpRequest, HttpResponse, HttpStream
from flowrunner.ports.kv import KeyValues
from flowrunner.testing import NoDialer

NOW: Millis = 1_700_000_000_000
"""2023-11-14T22:13:20Z: the time in a fake context unless a test says otherwise."""

RUN = RunInfo(
    id="run-1",
    account="acme",
    flow="orders",
    revision=3,
    attempt=1,
    started_at=NOW - 5_000,
    idempotency_key="k7qxv3mz2kq5h4vwbdrbl6ztn5sj3y2x5p6gq7m4w3c2a1b0zzzz",
)

P = TypeVar("P", bound=Params)


@dataclass
class FakeHttp:
    """An `HttpClient` that answers from a list and keeps what it was asked."""

    answers: list[HttpResponse | Exception] = field(default_factory=list)
    sent: list[HttpRequest] = field(default_factory=list)

    def send(self, request: HttpRequest) -> HttpResponse:
        self.sent.append(request)
        answer = self.answers.pop(0) if self.answers else HttpResponse(200, url=request.url)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stream(self, request: HttpRequest) -> AbstractContextManager[HttpStream]:
        answer = self.send(request)
        return nullcontext(HttpStream(answer.status, answer.headers, iter([answer.content]), answer.url))

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class FakeChildren:
    """A `ChildRuns` that starts nothing and keeps what it was asked."""

    started: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None

    def start(
        self,
        *,
        flow: str | None,
        revision: int | None,
        document: Mapping[str, Json] | None,
        input: Json,
        signal_parent: bool,
    ) -> str:
        if self.error is not None:
            raise self.error
        call = {"flow": flow, "revision": revision, "document": document, "input": input}
        self.started.append({**call, "signal_parent": signal_parent})
        return f"child-{len(self.started)}"

    def note(self, flow: str, revision: int | None) -> FlowNote:
        return FlowNote(f"The flow {flow}.", {"type": "object"})


def _no_each(expression: Json, items: Sequence[Json], alias: str) -> list[Json]:
    raise AssertionError("the test gave the context no `each`")


def _no_script(source: str, bindings: Mapping[str, Json]) -> Json:
    raise AssertionError("the test gave the context no `run_script`")


@dataclass
class FakeContext(Generic[P]):
    """See `nodes.base.Context`. Everything that the node does to it can be read off again."""

    params: P
    input: Json = None
    node: str = "node-1"
    step: str = "2.0"
    attempt: int = 1
    run: RunInfo = RUN
    http: HttpClient = field(default_factory=FakeHttp)
    dialer: Dialer = field(default_factory=NoDialer)
    egress: Sequence[Sequence[str]] = ()
    values: KeyValues = field(default_factory=lambda: MemoryBackend().values)
    children: ChildRuns = field(default_factory=FakeChildren)
    programs_allowed: bool = False
    time: Millis = NOW
    left: float = 3_600.0
    is_cancelled: bool = False
    each: Callable[[Json, Sequence[Json], str], list[Json]] = _no_each
    run_script: Callable[[str, Mapping[str, Json]], Json] = _no_script
    callback_url: str | None = "https://flows.example/v1/callbacks/token-1"
    logs: list[tuple[Level, str, Json]] = field(default_factory=list)
    events: list[tuple[str, Json]] = field(default_factory=list)
    progressed: list[float] = field(default_factory=list)

    def now(self) -> Millis:
        return self.time

    def time_left(self) -> float:
        return self.left

    def cancelled(self) -> bool:
        return self.is_cancelled

    def log(self, message: str, level: Level = "info", data: Json = None) -> None:
        self.logs.append((level, message, data))

    def emit(self, name: str, data: Json = None) -> None:
        self.events.append((name, data))

    def progress(self, percent: float) -> None:
        self.progressed.append(percent)

    def evaluate_each(self, expression: Json, items: Sequence[Json], alias: str = "item") -> list[Json]:
        return self.each(expression, items, alias)

    def validator(self, schema: Json) -> Callable[[Json], list[str]]:
        return validator(schema)

    def callback(self) -> Callback:
        return Callback("token-1", self.callback_url)

    def script(self, source: str, bindings: Mapping[str, Json]) -> Json:
        return self.run_script(source, bindings)


def context(node: NodeType[P], params: Mapping[str, Json], **given: Any) -> FakeContext[P]:
    """A context for `node` with its params completed and checked as the engine does it.

    Arguments: `given`, further attributes of `FakeContext`. Raises pydantic's `ValidationError`.
    """
    return FakeContext(node.params.model_validate(node.complete(dict(params))), **given)
