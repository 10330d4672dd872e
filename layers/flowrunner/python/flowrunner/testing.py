"""Helpers for tests of flows and of plugins: a clock that is turned by hand, and nodes whose answers are given."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from flowrunner.core.flow import DEFAULT, Flow, Json
from flowrunner.core.ids import AccountId, Millis, NodeId
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import ENTRY_POINTS, Registry
from flowrunner.ports.dialer import Connection
from flowrunner.ports.http import HttpClient, HttpRequest, HttpResponse, HttpStream

if TYPE_CHECKING:
    from flowrunner.engine.engine import RunResult

START: Millis = 1_767_225_600_000
"""2026-01-01T00:00:00Z: where a test's clock begins unless it is set."""

MOCK = "$mock"
MOST_TURNS = 1_000
"""Of the clock in one run."""


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


def run_flow(
    text: str,
    input: Json = None,
    *,
    node_types: Sequence[type[NodeType[Any]]] = (),
    helpers: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    http: HttpClient | None = None,
) -> RunResult:
    """Run a flow in memory until it has ended, or waits for somebody. Time is turned past every delay.

    For tests of plugins: `node_types` and `helpers` are there as if they were installed. Without `http` nothing is
    sent. Raises `InvalidFlow` or `InvalidInput`.
    """
    from flowrunner.adapters.local.clock import SystemDraws
    from flowrunner.adapters.local.secrets import LocalSecrets
    from flowrunner.adapters.memory.backend import MemoryBackend
    from flowrunner.adapters.memory.cipher import MemorySealer
    from flowrunner.engine.engine import Engine, Parts
    from flowrunner.engine.starter import StartRequest
    from flowrunner.sandbox.evaluator import Sandbox

    account, clock = AccountId("test"), TurnedClock()
    sandbox = Sandbox(processes=1)
    sandbox.helpers = lambda _: dict(helpers or {})
    parts = Parts(
        backend=MemoryBackend(),
        registry=Registry([_entry_point(one) for one in node_types]),
        sandbox=sandbox,
        secrets=LocalSecrets({f"FLOWRUNNER_SECRET_{key}": value for key, value in (secrets or {}).items()}),
        http=http or NoHttp(),
        dialer=NoDialer(),
        clock=clock,
        draws=SystemDraws(),
        sealer=MemorySealer(),
    )
    engine = Engine(parts)
    try:
        row = engine.save_flow(account, text)
        run = engine.start(StartRequest(account, row.id, row.revision, input, started_by="test"))
        worker = engine.worker()
        for _ in range(MOST_TURNS):
            due = worker.drain()
            if due is None or engine.run(account, run).ended_at is not None:
                break
            clock.turn_to(due)
        return engine.run(account, run)
    finally:
        engine.close()


def _entry_point(kind: type[NodeType[Any]]) -> EntryPoint:
    return EntryPoint(kind.name, f"{kind.__module__}:{kind.__qualname__}", ENTRY_POINTS)


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
