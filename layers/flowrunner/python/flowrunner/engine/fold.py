"""From what happened to one conditional write: events of a run are decided one after the other and written together.

A fold starts from a run as last read. When its commit loses the race (somebody else wrote the head), the same events
are folded again over the newer state; nothing is executed a second time for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import assert_never

from flowrunner.core.codec import encode
from flowrunner.core.commands import CancelChild, EndRun, RecordStep, ScheduleStep
from flowrunner.core.decide import Rejected, decide
from flowrunner.core.events import ErrorFacts, Event, OutputFailed, StepWaiting, TimerFired
from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis, RunId, StepId
from flowrunner.core.json_text import packed
from flowrunner.core.state import MAX_HEAD_BYTES, Entry, Phase, State
from flowrunner.core.status import RunStatus
from flowrunner.engine.dispatch import POKE
from flowrunner.engine.outcome import Outcome, RunView
from flowrunner.engine.owed import look_at, owed_at
from flowrunner.engine.program import Program
from flowrunner.engine.records import Attempt
from flowrunner.errors import StepError
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import Commit, RowStatus, StepRow

HEAD_TOO_LARGE = ErrorFacts(
    "LIMIT_HEAD",
    f"the run's state has grown beyond {MAX_HEAD_BYTES // 1024} KiB; "
    "use fewer keys of vars, or foreach for a wide fan-out",
)

Output = Callable[[RunView, State, list[Attempt]], Json]
"""Evaluates a completed run's output: run, state, and the attempts of this very commit. Gives a stored value."""

ItemsOf = Callable[[StepId], Sequence[Json]]
"""The stored items of a foreach under way."""

NOT_ENDED = 99
"""The progress that a run shows at most before it has completed."""

HAND_OFF_WITHIN: Millis = 5
"""A message due this soon may be kept by the worker that created it."""

Keeps = Callable[[Program, Message, Entry | None, int], bool]
"""Whether it is kept; the number says how many of this commit are so already."""


class Fold:
    """One run's events on their way to a commit."""

    def __init__(self, view: RunView, now: Millis, draw: Callable[[], float], items_of: ItemsOf) -> None:
        self.view = view
        self._items_of = items_of
        self.state = view.state
        self.now = now
        self._draw = draw
        self.rows: list[StepRow] = []
        self.attempts: list[Attempt] = []
        self.scheduled: dict[tuple[str, int], ScheduleStep] = {}
        self.acks: list[Receipt] = []
        self.later: dict[Receipt, Millis] = {}
        """Messages to be given back until then, once this is written."""
        self.cancel: list[RunId] = []
        self.looks: list[StepId] = []
        """Steps that wait, and have to be looked at: what ends the wait may have come before it, and is told once."""
        self.ended: RunStatus | None = None
        self.moved = False

    def apply(self, event: Event) -> None:
        """Decide one event. Raises `Rejected`, with nothing changed, when it does not fit."""
        decision = decide(self.view.program.graph, self.state, event, self.now, self._draw())
        self.state = decision.state
        self.moved = True
        for command in decision.commands:
            match command:
                case ScheduleStep(step, attempt):
                    self.scheduled[step, attempt] = command
                case RecordStep():
                    self._record(command)
                case CancelChild(run):
                    self.cancel.append(RunId(run))
                case EndRun(status):
                    self.ended = status
                case _:
                    assert_never(command)

    def take(self, outcome: Outcome) -> bool:
        """Take an execution's outcome. False if the state has no use for it; it is recorded all the same.

        That is so for the late result of a run that is over, and for a repeated one, whose row is final already.
        """
        if isinstance(outcome.event, TimerFired):
            # It was due when it was looked at. A clock that was set back since then does not take that back.
            waiting = self.state.frontier.get(outcome.event.step)
            self.now = max(self.now, waiting.due if waiting is not None else 0)
        try:
            self.apply(outcome.event)
        except Rejected:
            waiting = self.state.frontier.get(outcome.attempt.step)
            if waiting is None or waiting.phase is not Phase.WAITING or waiting.attempt != outcome.attempt.attempt:
                self.rows.append(outcome.attempt.row(0))
            self._leave(outcome.event)
            return False
        attempt = outcome.attempt
        entry = self.state.frontier.get(attempt.step)
        if isinstance(outcome.event, StepWaiting) and self.state.attempt > 1:
            # The step may have begun before the redrive; the message of then has gone with the end of the run.
            self.looks.append(attempt.step)
        again = attempt.status is RowStatus.FAILED and entry is not None and entry.attempt > attempt.attempt
        self._add(replace(attempt, rev=self.state.rev, retry_at=entry.due if again and entry else 0))
        return True

    def done_with(self, receipt: Receipt, *, taken: bool) -> None:
        """Acknowledge a message, unless the run lives on it.

        What it led to may have been of no use because that was taken before, from another copy or by a try whose answer
        was lost; and that may have sent the same message anew, to end a wait or to collect what items gave.
        """
        due = None if taken else owed_at(self.state, receipt, self.now)
        if due is None:
            self.acks.append(receipt)
        else:
            self.later[receipt] = due

    def _leave(self, event: Event) -> None:
        """Cancel a child run that nobody waits for, unless a redrive may still do so."""
        if isinstance(event, StepWaiting) and event.child is not None:
            entry = self.state.frontier.get(event.step) or self.state.parked.get(event.step)
            awaited = entry is not None and entry.attempt == event.attempt
            if not awaited or self.state.status is RunStatus.CANCELLED:
                self.cancel.append(RunId(event.child))

    def _add(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        self.rows.append(attempt.row(attempt.rev))

    def _record(self, command: RecordStep) -> None:
        self._add(
            Attempt(
                step=command.step,
                attempt=command.attempt,
                node=command.node,
                status=RowStatus(command.status.value),
                n=command.n,
                parent=command.parent,
                started_at=self.now,
                ended_at=self.now,
                error=command.error.record(command.node) if command.error else None,
                # A foreach that failed keeps its items: a redrive goes on with them.
                items=self._items_of(command.step) if command.step in self.view.state.maps else (),
                rev=self.state.rev,
            )
        )

    def commit(
        self, output: Output, owner: str = "", lease_until: Millis = 0, keeps: Keeps = lambda *_: True
    ) -> Commit:
        """The conditional write for everything taken so far.

        With `owner`, messages that are due now and that it `keeps` are handed off to it. A completed run's output is
        evaluated here: the failure of that is one more event.
        """
        stored: Json = None
        if self.ended is RunStatus.COMPLETED:
            stored = self._output(output)
        head = packed(encode(self.state))
        if len(head) > MAX_HEAD_BYTES and not self.state.status.over:
            self.apply(OutputFailed(HEAD_TOO_LARGE))
            head = packed(encode(replace(self.state, parked={})))
        row = self.view.row
        send: list[Message] = []
        mine: list[Message] = []
        for command in self.scheduled.values():
            if self._owed(command):
                entry = self.state.frontier.get(command.step)
                message = self._message(command, entry)
                kept = owner and message.due <= self.now + HAND_OFF_WITHIN
                kept = kept and keeps(self.view.program, message, entry, len(mine))
                (mine if kept else send).append(message)
        send += [Message(Receipt(row.account, row.id, step, POKE), self.now, row.priority) for step in self.looks]
        ended = self.state.status.over and self.ended is not None
        return Commit(
            account=row.account,
            run=row.id,
            expected_rev=row.rev,
            rev=self.state.rev,
            head=head if self.moved else None,
            status=self.state.shown_status,
            steps=self.rows,
            send=send,
            hand_off=mine,
            ack=self.acks,
            owner=owner if mine else "",
            lease_until=lease_until,
            result=packed({"out": stored, "err": self.state.error}) if ended else None,
            ended_at=self.now if ended else None,
            reopened=self.view.state.status.over and not self.state.status.over,
            look_at=look_at(self.state, self.now),
        )

    def _output(self, output: Output) -> Json:
        before = self.state
        try:
            return output(self.view, before, self.attempts)
        except StepError as error:
            # The run is not over before its output is: take the end back and fail instead.
            progress = min(before.progress, NOT_ENDED)
            self.state = replace(before, status=RunStatus.RUNNING, rev=before.rev - 1, frontier={}, progress=progress)
            self.apply(OutputFailed(ErrorFacts(error.code, f"outputs: {error}", details=error.details)))
            return None

    def _owed(self, command: ScheduleStep) -> bool:
        """Whether the step is still scheduled after all events of this fold."""
        entry = self.state.frontier.get(command.step)
        if entry is None:
            return command.step == "deadline" and not self.state.status.over
        return entry.attempt == command.attempt

    def _message(self, command: ScheduleStep, entry: Entry | None) -> Message:
        row = self.view.row
        receipt = Receipt(row.account, row.id, command.step, command.attempt)
        return Message(receipt, command.due, row.priority, self.view.program.slow(command.step, entry))

    @property
    def wants_script(self) -> bool:
        """Whether this fold completes the run and its `outputs` need JavaScript, which may take seconds."""
        outputs = self.view.program.outputs
        return self.ended is RunStatus.COMPLETED and outputs is not None and not outputs.native

    def renewed(self, commit: Commit) -> RunView:
        """The run as it is after `commit` was applied."""
        row = replace(
            self.view.row,
            rev=commit.rev,
            status=commit.status,
            head=commit.head or self.view.row.head,
            result=commit.result,
            ended_at=commit.ended_at,
        )
        return RunView(row, self.view.facts, self.state, self.view.program)
