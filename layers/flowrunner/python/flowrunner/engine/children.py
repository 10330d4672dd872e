"""Runs that steps start: `flow.run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, RunId, StepId
from flowrunner.core.status import TERMINAL, RunStatus
from flowrunner.engine.dispatch import POKE
from flowrunner.engine.redaction import Redactor
from flowrunner.engine.run_ids import derived_run_id
from flowrunner.engine.sealed_values import SecretInName
from flowrunner.engine.seals import Opened, values_of
from flowrunner.engine.services import Children, ParentStep, Services
from flowrunner.engine.starter import Starter, StartRequest
from flowrunner.engine.watch import Change, Watchers
from flowrunner.errors import Conflict, InvalidInput, QuotaExceeded, StepError
from flowrunner.nodes.base import FlowNote, NodeType, Result
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.queue import Message, Receipt

SaveFlow = Callable[[AccountId, str], FlowRow]
"""Stores an inline document as a flow and answers its row. Raises `InvalidInput` with its problems."""

INLINE = "inline:"
"""How the stored names of inline flows begin; no document can be called like that. So an inline flow replaces none that
somebody has saved, whatever stands in its `metadata.name`."""

MAX_DEPTH = 10
"""Runs that start runs that start runs …; a flow that calls itself ends here."""


class ChildFailed(StepError):
    """The flow that the step ran did not complete."""

    code = "CHILD_FAILED"


class EngineChildren:
    """See `services.Children`."""

    def __init__(self, services: Services, starter: Starter, save: SaveFlow, watchers: Watchers) -> None:
        self._services = services
        self._starter = starter
        self._save = save
        self._watchers = watchers

    def of(self, parent: ParentStep) -> StepChildren:
        return StepChildren(self._services, self._starter, self._save, self._watchers, parent)

    def ended(self, account: AccountId, run: str) -> bool:
        row = self._services.backend.runs.load([(account, RunId(run))])[0]
        return row is None or row.status in TERMINAL

    def output(self, account: AccountId, run: str) -> Opened:
        row = self._services.backend.runs.load([(account, RunId(run))])[0]
        if row is None:
            raise ChildFailed(f"run {run} is gone")
        result = orjson.loads(row.result) if row.result else {}
        if row.status != RunStatus.COMPLETED:
            error = result.get("err") or {}
            reason = error.get("message") or row.status
            raise ChildFailed(f"run {run} of flow {row.flow_name} {row.status}: {reason}", run=run, error=error)
        return self._services.reader.open(account, RunId(run), result.get("out"))


class StepChildren:
    """Starts the child runs of one step."""

    def __init__(
        self, services: Services, starter: Starter, save: SaveFlow, watchers: Watchers, parent: ParentStep
    ) -> None:
        self._services = services
        self._starter = starter
        self._save = save
        self._watchers = watchers
        self._parent = parent

    def start(
        self,
        *,
        flow: str | None,
        revision: int | None,
        document: Mapping[str, Json] | None,
        input: Json,
        signal_parent: bool,
    ) -> str:
        """See `nodes.base.ChildRuns`."""
        parent = self._parent
        if parent.depth + 1 > MAX_DEPTH:
            raise StepError(f"flows may run flows {MAX_DEPTH} levels deep", code="DEPTH_EXCEEDED")
        row = self._flow(flow, revision, document)
        run = child_run_id(parent.run, parent.step, parent.attempt)
        if self._services.backend.runs.load([(parent.account, run)])[0] is not None:
            return self._found(run, signal_parent=signal_parent)
        try:
            self._services.admit_child(parent.account)
        except QuotaExceeded as error:
            raise StepError(str(error), code=error.code, retryable=True, retry_after=error.retry_after) from error
        request = StartRequest(
            account=parent.account,
            flow=row.id,
            revision=row.revision,
            input=input,
            run=run,
            started_by=f"run:{parent.run}",
            depth=parent.depth + 1,
            parent=(parent.run, parent.step, parent.attempt) if signal_parent else None,
            secrets=parent.known,
        )
        try:
            prepared = self._starter.prepare(request)
        except InvalidInput as error:
            raise StepError(error.message, code="INPUT_INVALID", **error.details) from error
        except Conflict as error:
            raise StepError(str(error), code=error.code, retryable=True) from error
        self._services.announce(prepared.view.row)
        created = self._services.backend.runs.create([prepared.view.row], prepared.messages)[0]
        if created and self._watchers.watched(run):
            self._watchers.tell(Change(prepared.view, prepared.view.state, created=True))
        self._starter.admit(prepared)
        return run if created else self._found(run, signal_parent=signal_parent)

    def _found(self, run: RunId, *, signal_parent: bool) -> RunId:
        """A run that an execution before this one has started. It may be over, and have told that to nobody."""
        if signal_parent:
            parent, services = self._parent, self._services
            poke = Receipt(parent.account, RunId(parent.run), StepId(parent.step), POKE)
            services.backend.queue.send([Message(poke, services.clock.now(), 0)])
        return run

    def note(self, flow: str, revision: int | None) -> FlowNote:
        """See `nodes.base.ChildRuns`."""
        program = self._starter.program(self._flow(flow, revision, None))
        return FlowNote(program.flow.description, program.flow.inputs)

    def _flow(self, flow: str | None, revision: int | None, document: Mapping[str, Json] | None) -> FlowRow:
        account = self._parent.account
        if document is not None:
            if Redactor(values_of(self._parent.known)).found(document):
                raise SecretInName("the flow in `inline` holds the value of a secret", hint="let it read the secret")
            try:
                return self._save(account, orjson.dumps(document).decode())
            except InvalidInput as error:
                raise StepError(str(error), code="FLOW_INVALID", **error.details) from error
        flows = self._services.backend.flows
        wanted = flow or ""
        found = flows.find(account, wanted) or flows.get(account, FlowId(wanted))
        if found is not None and revision is not None:
            found = flows.get(account, found.id, revision)
        if found is None:
            which = f"{wanted!r}" if revision is None else f"{wanted!r} with revision {revision}"
            raise StepError(f"there is no flow {which}", code="FLOW_NOT_FOUND")
        return found


def returned(
    node_type: NodeType[Any], children: Children, account: AccountId, run: str, opened: Callable[[Opened], Json]
) -> Result:
    """What a node makes of the end of the run that it waited for. `opened` opens what that gave."""
    try:
        output = children.output(account, run)
    except ChildFailed as error:
        return node_type.returned(None, error)
    return node_type.returned(opened(output), None)


def child_run_id(run: str, step: str, attempt: int) -> RunId:
    """The id of the run that an attempt starts."""
    return derived_run_id("child", run, step, attempt)
