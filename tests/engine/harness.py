"""An engine for tests: memory, a clock that is turned, the real sandbox, HTTP to what a test opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flowrunner.adapters.local.clock import SystemDraws
from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.adapters.memory.cipher import MemoryKeyRing
from flowrunner.bootstrap import LazyDialer, LazyHttp
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.state import parent_of_item
from flowrunner.engine.engine import Engine, Parts, RunResult
from flowrunner.engine.records import Attempt
from flowrunner.engine.starter import StartRequest
from flowrunner.engine.values import ValueLimits
from flowrunner.engine.worker import Worker
from flowrunner.nodes.registry import Registry
from flowrunner.ports.backend import Backend
from flowrunner.sandbox.evaluator import Sandbox
from flowrunner.services.vault_parts import vault_parts
from flowrunner.testing import TurnedClock

ACCOUNT = AccountId("acct")


def flow(nodes: str, head: str = "") -> str:
    """A document of these nodes."""
    indented = "\n".join(f"  {line}" for line in nodes.strip("\n").splitlines())
    return f"metadata: {{name: test}}\n{head}\nnodes:\n{indented}\n"


@dataclass
class Bench:
    """An engine with a worker that runs in the test's own thread."""

    engine: Engine
    worker: Worker
    clock: TurnedClock

    def start(self, document: str, value: Json = None, run: str | None = None) -> RunId:
        row = self.engine.save_flow(ACCOUNT, document)
        return self.engine.start(StartRequest(ACCOUNT, row.id, row.revision, value, run=RunId(run) if run else None))

    def run(self, document: str, value: Json = None) -> RunResult:
        """Start a run and work until nothing is due any more, turning the clock."""
        run = self.start(document, value)
        self.work()
        return self.result(run)

    def work(self, until: int | None = None) -> None:
        """Work until nothing is due (before `until`)."""
        for _ in range(10_000):
            due = self.worker.drain()
            if due is None or (until is not None and due > until):
                return
            self.clock.turn_to(due)
        raise AssertionError("the run goes on for ever")

    def result(self, run: RunId) -> RunResult:
        return self.engine.run(ACCOUNT, run)

    def steps(self, run: RunId) -> list[Attempt]:
        return self.engine.steps(ACCOUNT, run)

    def path(self, run: RunId) -> list[str]:
        """Labels of the steps that ended, in the order in which the run took them."""
        ended = [one for one in self.steps(run) if one.rev and one.status.final and not parent_of_item(one.step)]
        return [one.label for one in sorted(ended, key=lambda one: one.rev)]

    def output(self, run: RunId, label: str) -> Json:
        found = [one for one in self.steps(run) if one.label == label]
        return self.engine.value(ACCOUNT, run, found[-1].output)


_SANDBOX: list[Sandbox] = []


class _Shared(Sandbox):
    """A sandbox that an engine does not close: others go on with it."""

    def close(self) -> None:
        """Nothing: it ends with the process."""


def shared_sandbox() -> Sandbox:
    """One sandbox for all tests of the process: its workers stay warm."""
    if not _SANDBOX:
        _SANDBOX.append(_Shared(processes=2))
    return _SANDBOX[0]


def make_engine(
    backend: Backend | None = None,
    *,
    secrets: Mapping[str, str] | None = None,
    allow: Sequence[str] = (),
    limits: ValueLimits | None = None,
    **options: Any,
) -> tuple[Engine, TurnedClock]:
    """An engine on `backend` (memory unless told) and the clock that it goes by.

    `secrets` are those of `ACCOUNT`, beside what a vault has.
    """
    clock = TurnedClock()
    backend = backend or MemoryBackend()
    local = LocalSecrets({f"FLOWRUNNER_SECRET_{key}": value for key, value in (secrets or {}).items()})
    vault = vault_parts(backend.entities, MemoryKeyRing(), clock, local, ACCOUNT)
    given: dict[str, Any] = {
        "backend": backend,
        "registry": Registry(),
        "sandbox": shared_sandbox(),
        "secrets": vault.secrets,
        "keys": vault.keys,
        "sealer": vault.sealer,
        "on_secret_read": vault.on_secret_read,
        "http": LazyHttp(allow),
        "dialer": LazyDialer(allow),
        "clock": clock,
        "draws": SystemDraws(),
        "limits": limits or ValueLimits(),
    }
    return Engine(Parts(**{**given, **options})), clock


@contextmanager
def bench(backend: Backend | None = None, **options: Any) -> Iterator[Bench]:
    """An engine with a worker; `options` as for `make_engine`."""
    engine, clock = make_engine(backend, **options)
    yield Bench(engine, engine.worker(), clock)
    engine.parts.registry.shutdown()
    engine.parts.http.close()
