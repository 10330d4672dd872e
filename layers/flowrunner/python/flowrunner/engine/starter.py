"""Starting runs: input checked, place asked for, head decided, stored in one write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowrunner.core.codec import encode
from flowrunner.core.commands import Decision, ScheduleStep
from flowrunner.core.decide import decide
from flowrunner.core.events import RunStarted
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId, StepId
from flowrunner.core.json_text import packed
from flowrunner.core.slots import Verdict
from flowrunner.core.state import State
from flowrunner.core.status import RunStatus
from flowrunner.engine.dispatch import ADMIT
from flowrunner.engine.evaluate import evaluate
from flowrunner.engine.outcome import RunView
from flowrunner.engine.program import Program
from flowrunner.engine.programs import Programs
from flowrunner.engine.records import RunFacts
from flowrunner.engine.run_info import idempotency_key
from flowrunner.engine.scope import Scope
from flowrunner.engine.seals import NOTHING, Known, names_of
from flowrunner.engine.services import Services
from flowrunner.engine.slots import RunSlots, slot_key
from flowrunner.errors import InvalidInput
from flowrunner.language.inputs import check_input
from flowrunner.nodes.base import RunInfo
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import RunRow

PRIORITIES = {"high": 0, "normal": 1, "low": 2}


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A wish to run a stored flow. `run` is given by callers whose run id is derived from something."""

    account: AccountId
    flow: FlowId
    revision: int
    input: Json = None
    run: RunId | None = None
    started_by: str = ""
    depth: int = 0
    parent: tuple[str, str, int] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Known = NOTHING
    """Secrets that the input may hold, since the run that starts this one has read them."""


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run ready to be stored. `cancel` is the run that makes room for it."""

    view: RunView
    messages: tuple[Message, ...]
    cancel: RunId | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """The slot of a run, whether it has to wait for it, when it asks for it by itself, and who has to make room."""

    slot: str | None = None
    queued: bool = False
    again: Millis | None = None
    cancel: RunId | None = None


def _given(program: Program, value: Json) -> Json:
    """The input; no input at all counts as an empty object for a flow whose `inputs` are an object."""
    schema = program.flow.inputs
    empty = value is None and isinstance(schema, dict) and schema.get("type") == "object"
    return {} if empty else value


def _require_valid(program: Program, value: Json) -> None:
    problems = check_input(program.flow, value)
    if problems:
        raise InvalidInput(
            "the input does not fit the flow's `inputs`: "
            + "; ".join(f"{problem.field}: {problem.message}" for problem in problems),
            problems=[{"field": problem.field, "message": problem.message} for problem in problems],
        )


def _messages(row: RunRow, program: Program, decision: Decision) -> tuple[Message, ...]:
    """What a run's first steps are begun by."""
    return tuple(
        Message(
            Receipt(row.account, row.id, command.step, command.attempt),
            command.due,
            row.priority,
            program.slow(command.step, decision.state.frontier.get(command.step)),
        )
        for command in decision.commands
        if isinstance(command, ScheduleStep)
    )


class Starter:
    """Prepares runs."""

    def __init__(self, services: Services, programs: Programs) -> None:
        self._services = services
        self._programs = programs
        self._slots = RunSlots(services.backend.documents, services.backend.runs, services.clock)

    def program(self, row: FlowRow) -> Program:
        """The program of a stored flow."""
        return self._programs.get(row.account, row.id, row.revision)

    def prepare(self, request: StartRequest) -> PreparedRun:
        """Check the request and decide the run's first state.

        Raises `NotFound` for an unknown flow, `InvalidInput` with every problem of the input, `Conflict` when
        `concurrency` rejects it.
        """
        program = self._programs.get(request.account, request.flow, request.revision)
        value = _given(program, request.input)
        _require_valid(program, value)
        run = request.run or RunId(self._services.draws.new_id())
        now = self._services.clock.now()
        stored = self._services.values.store(request.account, run, "input", value, "the run's input", request.secrets)
        facts = RunFacts(stored, request.started_by, request.depth, request.parent, dict(request.labels))
        place = self._place(request, run, program, facts)
        secrets = tuple(sorted(names_of(request.secrets)))
        state = State(started_at=now, slot=place.slot, parent=request.parent is not None, secrets=secrets)
        decision = decide(program.graph, state, RunStarted(place.queued), now, self._services.draws.fraction())
        row = RunRow(
            account=request.account,
            id=run,
            flow=request.flow,
            revision=request.revision,
            flow_name=program.flow.name,
            priority=PRIORITIES[program.flow.priority],
            created_at=now,
            body=facts.encode(),
            rev=decision.state.rev,
            status=decision.state.shown_status,
            head=packed(encode(decision.state)),
        )
        facts = RunFacts.decode(row.body)
        messages = _messages(row, program, decision)
        if place.again is not None:
            messages += (Message(Receipt(row.account, run, StepId(ADMIT), 2), place.again, row.priority),)
        return PreparedRun(RunView(row, facts, decision.state, program), messages, place.cancel)

    def admit(self, prepared: PreparedRun) -> None:
        """Let a queued run begin whose place was given to it before it was stored, when nobody could be told."""
        view = prepared.view
        slot = view.state.slot
        if view.state.status is not RunStatus.QUEUED or not slot:
            return
        if self._slots.ask_again(view.row.account, slot, view.row.id, view.program.flow.concurrency).granted:
            receipt = Receipt(view.row.account, view.row.id, StepId(ADMIT), 1)
            self._services.backend.queue.send([Message(receipt, self._services.clock.now(), view.row.priority)])

    def _place(self, request: StartRequest, run: RunId, program: Program, facts: RunFacts) -> _Place:
        policy = program.flow.concurrency
        if policy is None:
            return _Place()
        key = slot_key(request.flow, self._key_value(request, run, program, facts))
        admission, again = self._slots.admit(request.account, key, run, policy)
        return _Place(key, admission.verdict is Verdict.QUEUED, again, admission.cancel)

    def _key_value(self, request: StartRequest, run: RunId, program: Program, facts: RunFacts) -> Json:
        template = program.concurrency_key
        if template is None:
            return None
        info = RunInfo(
            run, request.account, request.flow, request.revision, 1, 0, idempotency_key(run, ""), request.depth
        )
        reader, secrets = self._services.reader, self._services.run_secrets
        scope = Scope(reader, secrets, request.account, run, info, facts, program, State(status=RunStatus.QUEUED))
        scope.given["input"] = request.input
        now = self._services.clock.now()
        return evaluate(self._services.sandbox, template, scope, "concurrency.key", now=now, seed=f"{run}/concurrency")
