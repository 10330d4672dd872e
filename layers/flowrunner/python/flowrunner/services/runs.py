"""Runs of an account: started, found, looked into, cancelled, redriven, answered, deleted."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, Millis, NodeId, RunId, StepId
from flowrunner.core.state import State
from flowrunner.core.status import TERMINAL
from flowrunner.engine.engine import Engine
from flowrunner.engine.heads import read_run
from flowrunner.engine.inspect import step_input
from flowrunner.engine.preview import Question, preview
from flowrunner.engine.records import Attempt, RunFacts, read_attempt
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import Conflict, InvalidInput, NotFound, StepError, UnreadableRun, ValueLost
from flowrunner.ports.entities import Entity
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.history import RunFilter
from flowrunner.ports.runs import RunRow
from flowrunner.services.audit import Action, Audit
from flowrunner.services.costs import run_micro_dollars
from flowrunner.services.flows import FlowService
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.quotas import Quotas

_log = logging.getLogger(__name__)

IDEMPOTENCY_KIND = "idempotency"
IDEMPOTENCY_KEPT: Millis = 24 * 3_600_000
"""How long the answer to an `Idempotency-Key` is remembered."""

PAGE = 500

COST_SAMPLE = 100
"""Attempts that the estimate of a run's cost looks at."""


@dataclass(frozen=True, slots=True)
class StartWish:
    """A wish to run a flow. `revision` None: the newest."""

    flow: FlowId
    input: Json = None
    revision: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    run: RunId | None = None
    """The new run's id, from `Draws.new_id`, for who has to know it before the run is there; not with a key."""


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run as people see it. `input` and `output` are stored values until somebody asks for them."""

    row: RunRow
    facts: RunFacts
    state: State
    result: Mapping[str, Any]

    @property
    def over(self) -> bool:
        return self.row.status in TERMINAL


@dataclass(frozen=True, slots=True)
class ShownStep:
    """One attempt of a step with its values."""

    attempt: Attempt
    input: Json
    output: Json
    vars: Mapping[str, Json]
    attempts: Sequence[Attempt]
    """All attempts of the step, this one included."""
    lost: Sequence[str] = ()
    """The values that are not stored any more, by name; they are shown as None."""


class RunService:
    """See the module."""

    def __init__(
        self,
        engine: Engine,
        flows: FlowService,
        audit: Audit,
        quotas: Quotas,
        account_active: Callable[[AccountId], bool] = lambda account: True,
    ) -> None:
        self._engine = engine
        self._backend = engine.parts.backend
        self._clock = engine.parts.clock
        self._flows = flows
        self._audit = audit
        self._quotas = quotas
        self._account_active = account_active

    # -- starting -----------------------------------------------------------------------------------------------

    def start(self, actor: Actor, wish: StartWish) -> RunId:
        """Start a run. With an idempotency key that was used before, nothing starts and the run of then answers.

        Raises `NotFound`, `InvalidInput` with every problem of the input, `Conflict` (the flow is archived, its
        `concurrency` rejects the run, the key was used with another request), `QuotaExceeded`.
        """
        require(actor, Permission.RUNS_WRITE)
        row = self._flows.runnable(actor.account, wish.flow, wish.revision)
        run = self._once(actor.account, wish) if wish.idempotency_key is not None else wish.run
        if run is not None and self._backend.runs.load([(actor.account, run)])[0] is not None:
            return run
        self._quotas.check_start(actor.account)
        request = StartRequest(
            account=actor.account,
            flow=row.id,
            revision=row.revision,
            input=wish.input,
            run=run,
            started_by=actor.name,
            labels={**wish.labels, **_correlated(actor.correlation)},
        )
        try:
            return self._engine.start(request)
        except InvalidInput:
            if wish.idempotency_key is not None:  # the key is free for the request that is meant
                self._backend.entities.delete(actor.account, IDEMPOTENCY_KIND, _key_id(wish))
            raise

    def start_triggered(
        self,
        account: AccountId,
        flow: FlowId,
        input: Json,
        run: RunId,
        started_by: str,
        correlation: str = "",
        depth: int = 0,
    ) -> RunId:
        """For triggers: start a run whose id is derived from its cause, so that the same cause starts it once.

        `depth` counts the runs that have called each other to get here. Raises as `start`, and `NotFound` for a flow
        that is not active, or an account that is being removed.
        """
        if not self._account_active(account):
            raise NotFound("there is no such flow")
        row = self._flows.active(account, flow)
        if self._backend.runs.load([(account, run)])[0] is not None:
            return run
        self._quotas.check_start(account)
        return self._engine.start(
            StartRequest(account, row.id, row.revision, input, run, started_by, depth, labels=_correlated(correlation))
        )

    def _once(self, account: AccountId, wish: StartWish) -> RunId:
        """The id of the run for this key: the same for the same request, a `Conflict` for another one."""
        now = self._clock.now()
        key = _key_id(wish)
        request = orjson.dumps([wish.input, wish.revision, dict(wish.labels)], option=orjson.OPT_SORT_KEYS)
        digest = hashlib.sha256(request).hexdigest()
        run = RunId(self._engine.parts.draws.new_id())
        entity = Entity(
            account,
            IDEMPOTENCY_KIND,
            key,
            orjson.dumps({"run": run, "request": digest}),
            expires_at=now + IDEMPOTENCY_KEPT,
        )
        if self._backend.entities.put(entity, now, expected_rev=0) is not None:
            return run
        found = self._backend.entities.get(account, IDEMPOTENCY_KIND, key, now)
        known = orjson.loads(found.body) if found is not None else {"run": run, "request": digest}
        if known["request"] != digest:
            raise Conflict("this Idempotency-Key was used with another request", hint="use a new key")
        return RunId(known["run"])

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, actor: Actor, run: RunId) -> ShownRun:
        """A run as it is now. Raises `NotFound`."""
        require(actor, Permission.RUNS_READ)
        return self._shown(self._row(actor.account, run))

    def find(self, actor: Actor, wanted: RunFilter) -> list[ShownRun]:
        """Runs, newest first; of one that this program cannot read, because a newer one wrote it, only its row."""
        require(actor, Permission.RUNS_READ)
        found = []
        for row in self._backend.history.runs(actor.account, wanted):
            try:
                found.append(self._shown(row))
            except UnreadableRun as error:
                _log.warning("%s", error, extra={"account": row.account, "run": row.id})
                found.append(ShownRun(row, RunFacts(), State(rev=row.rev), {}))
        return found

    def input(self, shown: ShownRun) -> Json:
        """The run's input. Raises `ValueLost`."""
        return self._value(shown.row, shown.facts.input)

    def output(self, shown: ShownRun) -> Json:
        """The run's output; None while there is none. Raises `ValueLost`."""
        return self._value(shown.row, shown.result.get("out"))

    def micro_dollars(self, shown: ShownRun) -> int:
        """What the run costs on AWS, estimated from its steps and the work of the first of them."""
        page = self._backend.history.steps(shown.row.account, shown.row.id, limit=COST_SAMPLE)
        return run_micro_dollars(shown.state.steps, [read_attempt(row) for row in page])

    def steps(
        self, actor: Actor, run: RunId, after: tuple[StepId, int] | None = None, limit: int = 100
    ) -> list[Attempt]:
        """Attempts in the order in which they were scheduled, from behind `after`."""
        require(actor, Permission.RUNS_READ)
        self._row(actor.account, run)
        return [read_attempt(row) for row in self._backend.history.steps(actor.account, run, after=after, limit=limit)]

    def flow(self, actor: Actor, run: RunId) -> FlowRow:
        """The flow as the run has it, also one that stands in another and has no page. Raises `NotFound`."""
        require(actor, Permission.FLOWS_READ)
        row = self._row(actor.account, run)
        found = self._backend.flows.get(actor.account, row.flow, row.revision)
        if found is None:
            raise NotFound("the flow of this run is gone")
        return found

    def step(self, actor: Actor, run: RunId, step: str, attempt: int | None = None) -> ShownStep:
        """A step by its id or label (`poll.3`), its last attempt unless told. Raises `NotFound`."""
        require(actor, Permission.RUNS_READ)
        row = self._row(actor.account, run)
        found = self._attempts(actor.account, run, step)
        if not found:
            raise NotFound("there is no such step in this run")
        wanted = next((one for one in found if one.attempt == attempt), None) if attempt else found[-1]
        if wanted is None:
            raise NotFound(f"the step has no attempt {attempt}")
        lost: list[str] = []
        given = unless_lost("input", lost, lambda: self._given(row, wanted))
        output = unless_lost("output", lost, lambda: self._value(row, wanted.output))
        variables = {
            key: unless_lost(f"vars.{key}", lost, partial(self._value, row, stored))
            for key, stored in wanted.vars.items()
        }
        return ShownStep(wanted, given, output, variables, found, lost)

    def evaluate(self, actor: Actor, run: RunId, question: Question) -> Json:
        """What an expression that is being written would give in a run, with every secret masked.

        Raises `NotFound`, or `StepError` when the expression fails.
        """
        require(actor, Permission.FLOWS_WRITE)
        require(actor, Permission.RUNS_READ)
        row = self._row(actor.account, run)
        tells = actor.may(Permission.SECRETS_READ)
        return preview(self._engine.services, self._engine.programs, row, question, tells=tells)

    # -- changing -----------------------------------------------------------------------------------------------

    def cancel(self, actor: Actor, run: RunId, reason: str = "cancelled") -> None:
        """Stop a run and the runs that it waits for. Raises `NotFound`, or `Conflict` when it has ended already."""
        require(actor, Permission.RUNS_WRITE)
        self._engine.control.cancel(actor.account, run, reason)
        self._audit.record(actor, Action.RUN_CANCELLED, run)

    def redrive(self, actor: Actor, run: RunId, node: str | None = None, revision: int | None = None) -> None:
        """Go on after the end, from what failed or from `node`, on the run's revision or on `revision`.

        Raises `NotFound`, or `Conflict` with the reason when there is nothing to go on from.
        """
        require(actor, Permission.RUNS_WRITE)
        self._quotas.check_start(actor.account)
        self._engine.control.redrive(actor.account, run, NodeId(node) if node else None, revision)
        self._audit.record(actor, Action.RUN_REDRIVEN, run, node=node, revision=revision)

    def signal(self, actor: Actor, run: RunId, step: str, payload: Json) -> None:
        """Answer a waiting step. Raises `NotFound`, or `Conflict` when it does not wait or was answered."""
        require(actor, Permission.RUNS_WRITE)
        self._engine.control.signal(actor.account, run, step, payload)

    def delete(self, actor: Actor, run: RunId) -> None:
        """Remove an ended run with all that belongs to it. Raises `NotFound`, or `Conflict` while it is live."""
        require(actor, Permission.RUNS_WRITE)
        row = self._row(actor.account, run)
        if row.status not in TERMINAL:
            raise Conflict("the run has not ended", hint="cancel it first")
        self._backend.history.delete(actor.account, run)
        self._audit.record(actor, Action.RUN_DELETED, run, flow=row.flow)

    # -- how ----------------------------------------------------------------------------------------------------

    def _row(self, account: AccountId, run: RunId) -> RunRow:
        row = self._backend.runs.load([(account, run)])[0]
        if row is None:
            raise NotFound("there is no such run")
        return row

    @staticmethod
    def _shown(row: RunRow) -> ShownRun:
        result: Mapping[str, Any] = orjson.loads(row.result) if row.result else {}
        return ShownRun(row, *read_run(row), result)

    def _given(self, row: RunRow, attempt: Attempt) -> Json:
        try:
            return step_input(self._engine.services, self._engine.programs, row, attempt)
        except (NotFound, StepError):  # the flow cannot be loaded here, or its expression fails now
            return None

    def _value(self, row: RunRow, stored: Json) -> Json:
        return self._engine.value(row.account, row.id, stored)

    def _attempts(self, account: AccountId, run: RunId, step: str) -> list[Attempt]:
        """All attempts of a step, by its id if it is one, else by its label."""
        history = self._backend.history
        last = history.step(account, run, StepId(step))
        if last is not None:
            rows = [history.step(account, run, last.step, number) for number in range(1, last.attempt)]
            return [read_attempt(row) for row in (*rows, last) if row is not None]
        found: list[Attempt] = []
        after: tuple[StepId, int] | None = None
        while page := history.steps(account, run, after=after, limit=PAGE):
            found += [one for one in map(read_attempt, page) if one.label == step]
            after = (page[-1].step, page[-1].attempt)
        return found


def unless_lost(name: str, lost: list[str], read: Callable[[], Json]) -> Json:
    """What `read` answers; if that is not stored any more None, and its name is added to `lost`."""
    try:
        return read()
    except ValueLost as error:
        _log.error("%s", error)
        lost.append(name)
        return None


def _key_id(wish: StartWish) -> str:
    return hashlib.sha256(f"{wish.flow}\0{wish.idempotency_key}".encode()).hexdigest()


def _correlated(correlation: str) -> dict[str, str]:
    return {"correlation_id": correlation} if correlation else {}
