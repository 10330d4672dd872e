"""Helpers for tests of flows and of plugins: a clock that is turned by hand, and nodes whose answers are given."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from flowrunner.core.flow import DEFAULT, Flow, Json
from flowrunner.core.ids import Millis, NodeId
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import Registry
from flowrunner.ports.dialer import Connection
from flowrunner.ports.http import HttpRequest, HttpResponse, HttpStream

START: Millis = 1_767_225_600_000
"""2026-01-01T00:00:00Z: where a test's clock begins unless it is set."""

MOCK = "$mock"


class TurnedClock:
    """A clock that stands still until it is turned. See `ports.clock.Clock`."""

    __test__ = False

    def __init__(self, now: Millis = START) -> None:
        self._now = now

    def now(self) -> Millis:
        return self._now

    def monotonic(self) -> float:
        return self._now / 1000

    def turn_to(self, moment: Millis) -> None:
        """Go on to `moment`; time never goes back."""
        self._now = max(self._now, moment)


class MockParams(Params):
    """What a mocked node answers; one for each execution, the last one for all that follow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answers: list[dict[str, Json]]


class MockNode(NodeType[MockParams]):
    """Gives answers that were written down instead of doing the node's work."""

    name = MOCK
    params = MockParams
    pure = True
    actions = None

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def execute(self, ctx: Context[MockParams]) -> Result:
        """The next answer: `{output, action}`, or `{error: {code, message, retryable, details}}`."""
        with self._lock:
            key = (ctx.run.id, ctx.node)
            count = self._counts.get(key, 0)
            self._counts[key] = count + 1
        answers = ctx.params.answers
        answer = answers[min(count, len(answers) - 1)]
        if "error" in answer:
            raise _error(answer["error"])
        return Result(answer.get("output"), str(answer.get("action", DEFAULT)))


class MockRegistry(Registry):
    """The registry with the mock in it."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder=folder)
        self._mock = MockNode()

    def get(self, name: str) -> NodeType[Any]:
        return self._mock if name == MOCK else super().get(name)


class NoHttp:
    """An HTTP client for tests that sends nothing. See `ports.http.HttpClient`."""

    def send(self, request: HttpRequest) -> HttpResponse:
        raise StepError(f"a flow test sends no requests; mock the node that asks {request.url}", code="NOT_MOCKED")

    def stream(self, request: HttpRequest) -> AbstractContextManager[HttpStream]:
        return nullcontext(HttpStream(0, {}, iter(()), self.send(request).url))

    def close(self) -> None:
        """Nothing is kept."""


class NoDialer:
    """A dialer for tests that connects to nothing. See `ports.dialer.Dialer`."""

    def addresses(self, host: str, port: int, allow: Sequence[Sequence[str]] = ()) -> Sequence[str]:
        raise _not_mocked(host, port)

    def connect(
        self, host: str, port: int, seconds: float, allow: Sequence[Sequence[str]] = (), max_bytes: int = 0
    ) -> Connection:
        raise _not_mocked(host, port)


def _not_mocked(host: str, port: int) -> StepError:
    return StepError(f"a flow test opens no connections; mock the node that asks {host}:{port}", code="NOT_MOCKED")


def with_mocks(flow: Flow, mocks: Mapping[str, list[dict[str, Json]]]) -> Flow:
    """The flow with some nodes replaced by their answers. Retries, foreach and edges of the nodes stay.

    Ports, params and hooks of a mocked node are not evaluated: what it would have done with them is not tested.
    """
    nodes = dict(flow.nodes)
    for name, answers in mocks.items():
        node = nodes[NodeId(name)]
        params = {"answers": escape_expressions(answers)}
        nodes[node.id] = replace(node, type=MOCK, params=params, inputs={}, hooks={}, cache=None)
    return replace(flow, nodes=nodes)


def escape_expressions(value: Json) -> Json:
    """A value whose texts are taken as they are: `${` is written `$${`."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {key: escape_expressions(item) for key, item in value.items()}
    return [escape_expressions(item) for item in value] if isinstance(value, list) else value


def _error(error: Any) -> StepError:
    fields: Mapping[str, Any] = error if isinstance(error, dict) else {"message": str(error)}
    return StepError(
        str(fields.get("message", "mocked error")),
        code=str(fields.get("code", "MOCKED")),
        retryable=bool(fields.get("retryable", False)),
        **dict(fields.get("details") or {}),
    )
