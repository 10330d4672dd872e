"""The engine as a whole: flows are saved, runs started, watched, changed and read.

It may have a worker in the same process, which then stores new runs together with its other writes; without one, runs
are stored at once and some other process's worker takes them up.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, RunId, StepId
from flowrunner.core.status import TERMINAL
from flowrunner.engine.children import INLINE, EngineChildren
from flowrunner.engine.control import Control
from flowrunner.engine.feed import Feed
from flowrunner.engine.history import StepReader
from flowrunner.engine.outcome import RunView
from flowrunner.engine.programs import LoadFlow, Programs
from flowrunner.engine.records import Attempt, read_attempt
from flowrunner.engine.run_secrets import OnSecretRead, RunSecrets
from flowrunner.engine.seals import Opened, Seals
from flowrunner.engine.services import Children, Services
from flowrunner.engine.starter import Starter, StartRequest
from flowrunner.engine.validation import environment
from flowrunner.engine.values import ValueLimits, Values
from flowrunner.engine.watch import Change, Watchers
from flowrunner.errors import NotFound
from flowrunner.language.load import LoadedFlow, load_flow, load_valid_flow
from flowrunner.nodes.registry import Registry
from flowrunner.ports.backend import Backend
from flowrunner.ports.cipher import KeyRing, Sealer
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.dialer import Dialer
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.http import HttpClient
from flowrunner.ports.secrets import Secrets
from flowrunner.sandbox.evaluator import Sandbox

if TYPE_CHECKING:
    from flowrunner.engine.dead_letters import DeadLetters, DeadLetterSettings
    from flowrunner.engine.invocation import Invocations, InvocationSettings
    from flowrunner.engine.worker import Worker, WorkerSettings

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of; the composition root chooses."""

    backend: Backend
    registry: Registry
    sandbox: Sandbox
    secrets: Secrets
    http: HttpClient
    clock: Clock
    draws: Draws
    limits: ValueLimits = field(default_factory=ValueLimits)
    compile: LoadFlow = load_valid_flow
    """How a stored document becomes a flow; flow tests put mocks in here."""
    public_url: str | None = None
    keys: KeyRing | None = None
    """What the services over this engine encrypt with; it has no use for them itself."""
    sealer: Sealer | None = None
    """Keeps values that hold secrets readable for later steps; without one they are masked for good."""
    on_secret_read: OnSecretRead | None = None
    dialer: Dialer | None = None
    programs_allowed: bool = False
    """Without one, nodes reach nothing but HTTP."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run as people see it."""

    id: RunId
    flow: str
    status: str
    progress: int
    current_nodes: Sequence[str]
    attempt: int
    output: Json
    error: Mapping[str, Json] | None
    started_at: int
    ended_at: int | None


class Engine:
    """See the module. Safe for several threads."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.watchers = Watchers()
        seals = Seals(parts.sealer)
        values = Values(parts.backend.blobs, parts.limits, seals)
        self.programs = Programs(parts.backend.flows, parts.compile, parts.registry)
        late = _LateChildren()
        self.services = Services(
            backend=parts.backend,
            registry=parts.registry,
            sandbox=parts.sandbox,
            secrets=parts.secrets,
            http=parts.http,
            clock=parts.clock,
            draws=parts.draws,
            values=values,
            seals=seals,
            run_secrets=RunSecrets(parts.secrets, parts.on_secret_read),
            reader=StepReader(parts.backend.history, values),
            children=late,
            public_url=parts.public_url,
            dialer=parts.dialer,
            programs_allowed=parts.programs_allowed,
        )
        self._starter = Starter(self.services, self.programs)
        late.children = EngineChildren(self.services, self._starter, self._save_inline, self.watchers)
        self.control = Control(self.services, self.programs, self.watchers)
        self.feed = Feed(parts.backend.runs, parts.backend.history)
        self._worker: Worker | None = None

    # -- flows --------------------------------------------------------------------------------------------------

    def load(self, text: str | bytes, account: AccountId | None = None) -> LoadedFlow:
        """Check a document. With an account, secrets that it lacks are warned of. Raises `InvalidFlow`."""
        names = self.parts.secrets.names(account) if account is not None else None
        return load_flow(text, environment(self.parts.registry, self.parts.sandbox, names))

    def save_flow(self, account: AccountId, text: str) -> FlowRow:
        """Check a document and store it under its name; one that is there already answers its revision."""
        return self._save(account, self.load(text).flow.name, text)

    def _save_inline(self, account: AccountId, text: str) -> FlowRow:
        """Check a document that stands in another one, and store it by its content."""
        self.load(text)
        return self._save(account, INLINE + _digest(text), text)

    def _save(self, account: AccountId, name: str, text: str) -> FlowRow:
        id, now = FlowId(self.parts.draws.new_id()), self.parts.clock.now()
        return self.parts.backend.flows.save(FlowRow(account, id, name, 1, text, _digest(text), now))

    # -- runs ---------------------------------------------------------------------------------------------------

    def start(self, request: StartRequest) -> RunId:
        """Start a run. When this returns the run is stored and will end. Raises as `Starter.prepare`.

        A request with a run id that exists starts nothing and answers that id.
        """
        prepared = self._starter.prepare(request)
        row = prepared.view.row
        self.services.announce(row)
        if self._worker is not None:
            created = self._worker.start(prepared)
        else:
            created = self.parts.backend.runs.create([row], prepared.messages)[0]
        if created and self.watchers.watched(row.id):
            self.watchers.tell(Change(prepared.view, prepared.view.state, created=True))
        self._starter.admit(prepared)
        if prepared.cancel is not None:
            self.control.cancel_quietly(request.account, prepared.cancel)
        return row.id

    def run(self, account: AccountId, run: RunId) -> RunResult:
        """A run as it is now. Raises `NotFound`."""
        return self._result(self.control.view(account, run))

    def wait(self, account: AccountId, run: RunId, timeout: float | None = None) -> RunResult | None:
        """Wait until a run has ended; None when it has not within `timeout` seconds. Raises `NotFound`."""
        ended = threading.Event()

        def watch(change: Change) -> None:
            if change.ended:
                ended.set()

        leave = self.watchers.watch(run, watch)
        left = self.parts.backend.wakeups.listen(lambda topic: ended.set() if topic == "runs" else None)
        deadline = None if timeout is None else self.parts.clock.monotonic() + timeout
        try:
            while True:
                row = self.parts.backend.runs.load([(account, run)])[0]
                if row is None:
                    raise NotFound(f"there is no run {run}")
                if row.status in TERMINAL:
                    return self.run(account, run)
                rest = None if deadline is None else deadline - self.parts.clock.monotonic()
                if rest is not None and rest <= 0:
                    return None
                # A lost hint costs a second, no more.
                ended.wait(1.0 if rest is None else min(rest, 1.0))
                ended.clear()
        finally:
            leave()
            left()

    def steps(self, account: AccountId, run: RunId) -> list[Attempt]:
        """All attempts of a run in the order in which they were scheduled."""
        found: list[Attempt] = []
        after: tuple[StepId, int] | None = None
        while True:
            page = self.parts.backend.history.steps(account, run, after=after, limit=PAGE)
            found += [read_attempt(row) for row in page]
            if len(page) < PAGE:
                return found
            after = (page[-1].step, page[-1].attempt)

    def value(self, account: AccountId, run: RunId, stored: Json) -> Json:
        """The value behind a stored form, such as an attempt's output, with secrets masked."""
        return self.services.reader.value(account, run, stored)

    def _result(self, view: RunView) -> RunResult:
        result: Mapping[str, Any] = orjson.loads(view.row.result) if view.row.result else {}
        return RunResult(
            id=view.row.id,
            flow=view.row.flow_name,
            status=view.state.shown_status,
            progress=view.state.progress,
            current_nodes=view.state.current_nodes,
            attempt=view.state.attempt,
            output=self.value(view.row.account, view.row.id, result.get("out")),
            error=result.get("err") or view.state.error,
            started_at=view.row.created_at,
            ended_at=view.row.ended_at,
        )

    # -- workers ------------------------------------------------------------------------------------------------

    def worker(
        self, settings: WorkerSettings | None = None, on_error: Callable[[BaseException], None] | None = None
    ) -> Worker:
        """A worker of this engine, which its caller runs. `on_error` hears of trouble with the store."""
        from flowrunner.engine.worker import Worker, WorkerSettings

        name = f"worker-{self.parts.draws.new_id()}"
        return Worker(
            self.services,
            self.programs,
            self.watchers,
            name,
            settings or WorkerSettings(),
            cancel=self.control.cancel_quietly,
            on_error=on_error or (lambda error: None),
        )

    def invocations(
        self, settings: InvocationSettings | None = None, on_error: Callable[[BaseException], None] | None = None
    ) -> Invocations:
        """What handles messages in a process that has little time. `on_error` hears of trouble with the store."""
        from flowrunner.engine.invocation import Invocations, InvocationSettings

        return Invocations(
            self.services,
            self.programs,
            self.watchers,
            settings or InvocationSettings(),
            cancel=self.control.cancel_quietly,
            on_error=on_error or (lambda error: None),
        )

    def dead_letters(
        self, settings: DeadLetterSettings | None = None, invocation: InvocationSettings | None = None
    ) -> DeadLetters:
        """What sees to the messages that could not be handled."""
        from flowrunner.engine.dead_letters import DeadLetters, DeadLetterSettings
        from flowrunner.engine.invocation import InvocationSettings

        invocations = self.invocations(replace(invocation or InvocationSettings(), express=False))
        return DeadLetters(self.services, self.programs, invocations, settings or DeadLetterSettings())

    def attach(self, worker: Worker | None) -> None:
        """Let `worker`, which must be running, store the runs that this engine starts."""
        self._worker = worker

    def close(self) -> None:
        self.parts.registry.shutdown()
        self.parts.sandbox.close()
        self.parts.http.close()
        self.parts.backend.close()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class _LateChildren:
    """Services and children need each other; this is the knot."""

    children: Children

    def of(self, parent: Any) -> Any:
        return self.children.of(parent)

    def ended(self, account: AccountId, run: str) -> bool:
        return self.children.ended(account, run)

    def output(self, account: AccountId, run: str) -> Opened:
        return self.children.output(account, run)
