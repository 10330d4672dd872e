"""The context that a node's `execute` is given: the contract's `Context` over an execution."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.engine.own_calls import OwnCalls
from flowrunner.engine.schema_check import validator
from flowrunner.engine.sealed_values import SealedValues
from flowrunner.engine.services import ParentStep, Services
from flowrunner.errors import EgressDenied
from flowrunner.nodes.base import Callback, ChildRuns, Level, Params, RunInfo
from flowrunner.ports.callbacks import CallbackRow
from flowrunner.ports.dialer import Dialer
from flowrunner.ports.http import HttpClient
from flowrunner.ports.kv import KeyValues
from flowrunner.sandbox.evaluator import Script
from flowrunner.sandbox.templates import compile_template

if TYPE_CHECKING:
    from flowrunner.engine.execute import Execution


class StepContext:
    """See `nodes.base.Context`, which this implements."""

    def __init__(self, execution: Execution, params: Params) -> None:
        self._execution = execution
        self._job = execution.job
        self.params: Any = params

    @property
    def _services(self) -> Services:
        return self._execution.services

    @property
    def input(self) -> Json:
        return self._execution.input

    @property
    def node(self) -> str:
        return self._job.entry.node

    @property
    def step(self) -> str:
        return str(self._job.step)

    @property
    def attempt(self) -> int:
        return self._job.entry.attempt

    @property
    def run(self) -> RunInfo:
        return self._execution.info

    @property
    def http(self) -> HttpClient:
        services = self._services
        own = services.public_url
        return OwnCalls(services.http, own, self._execution.info.depth) if own else services.http

    @property
    def dialer(self) -> Dialer:
        if self._services.dialer is None:
            raise EgressDenied("this engine opens no connections but HTTP")
        return self._services.dialer

    @property
    def egress(self) -> Sequence[Sequence[str]]:
        rules = (self._job.view.program.flow.egress, self._job.node.node.egress)
        return [rule for rule in rules if rule is not None]

    @property
    def values(self) -> KeyValues:
        services = self._services
        return SealedValues(services.backend.values, services.seals, self._execution.scope)

    @property
    def children(self) -> ChildRuns:
        row, info = self._job.view.row, self._execution.info
        return self._services.children.of(
            ParentStep(row.account, row.id, self.step, self.attempt, info.depth, self._execution.scope.known())
        )

    @property
    def programs_allowed(self) -> bool:
        return self._services.programs_allowed

    def now(self) -> Millis:
        return self._services.clock.now()

    def time_left(self) -> float:
        return max(0.0, (self._job.deadline - self.now()) / 1000)

    def cancelled(self) -> bool:
        return self._job.cancelled

    def log(self, message: str, level: Level = "info", data: Json = None) -> None:
        self._execution.entries.log(message, level, data)

    def emit(self, name: str, data: Json = None) -> None:
        self._execution.entries.emit(name, data)

    def progress(self, percent: float) -> None:
        self.emit("progress", {"percent": min(max(percent, 0.0), 100.0)})

    def evaluate_each(self, expression: Json, items: Sequence[Json], alias: str = "item") -> list[Json]:
        scope = self._execution.scope
        template = compile_template(expression)
        if template.native:
            return [
                template.render(_bound(scope.load, {alias: item, "index": index})) for index, item in enumerate(items)
            ]
        sources = tuple(one.source for one in template.expressions)
        script = Script(kind="each", sources=sources, items=tuple(items), alias=alias)
        done = self._services.sandbox.evaluate(
            scope.account,
            script,
            scope.load,
            now_ms=self._job.started_at,
            seed=self._execution.seed,
            extra=scope.extra(),
        )
        return [template.assemble(results) for results in done.value]

    def validator(self, schema: Json) -> Callable[[Json], list[str]]:
        return validator(schema)

    def callback(self) -> Callback:
        token = self._services.draws.token()
        row = self._job.view.row
        self._services.backend.callbacks.register(
            CallbackRow(
                token_hash=token_hash(token),
                account=row.account,
                run=row.id,
                step=self._job.step,
                attempt=self.attempt,
                created_at=self.now(),
            )
        )
        base = self._services.public_url
        return Callback(token, f"{base.rstrip('/')}/v1/callbacks/{token}" if base else None)

    def script(self, source: str, bindings: Mapping[str, Json]) -> Json:
        given = {"input": self.input, "params": self._execution.params, **bindings}
        return self._execution.hooks.script(source, given)


def token_hash(token: str) -> str:
    """How a token is stored: SHA-256, hex. A fast hash is right for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def _bound(load: Any, bindings: Mapping[str, Json]) -> Any:
    def loader(root: str, key: str | None) -> Any:
        return bindings[root] if root in bindings else load(root, key)

    return loader
