"""Acting on a run from outside the worker: cancel, redrive, answer a waiting step. Each is one conditional write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from flowrunner.core.decide import Rejected
from flowrunner.core.events import CancelRequested, Event, RedriveRequested
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, NodeId, RunId, StepId
from flowrunner.core.rebase import rebase
from flowrunner.core.state import Phase, State, parent_of_item
from flowrunner.engine.context import token_hash
from flowrunner.engine.dispatch import POKE
from flowrunner.engine.fold import Fold
from flowrunner.engine.outcome import Outcome, RunView
from flowrunner.engine.outputs import RunOutputs
from flowrunner.engine.programs import Programs
from flowrunner.engine.records import Attempt, read_attempt
from flowrunner.engine.seals import callback_place
from flowrunner.engine.services import Services
from flowrunner.engine.values import to_json
from flowrunner.engine.views import read_view
from flowrunner.engine.watch import Change, Watchers
from flowrunner.errors import Conflict, NotFound, StoreError
from flowrunner.ports.callbacks import CallbackRow
from flowrunner.ports.queue import Message, Receipt

TRIES = 50


class Control:
    """Changes runs on somebody's request. Safe from any thread."""

    def __init__(self, services: Services, programs: Programs, watchers: Watchers) -> None:
        self._services = services
        self._backend = services.backend
        self._programs = programs
        self._watchers = watchers
        self._outputs = RunOutputs(services)

    def view(self, account: AccountId, run: RunId) -> RunView:
        """The run as it is now. Raises `NotFound`."""
        row = self._backend.runs.load([(account, run)])[0]
        if row is None:
            raise NotFound(f"there is no run {run}")
        return read_view(row, self._programs)

    def cancel(self, account: AccountId, run: RunId, reason: str = "cancelled") -> None:
        """Stop a run and the runs that it waits for. Raises `NotFound`, or `Conflict` when it has ended already.

        When this returns no step starts any more; what is in flight ends and is recorded.
        """
        fold = self._change(account, run, lambda view: [CancelRequested(reason)])
        for child in fold.cancel:
            self.cancel_quietly(account, child)

    def cancel_quietly(self, account: AccountId, run: RunId) -> None:
        """Cancel a run that may be over or gone."""
        try:
            self.cancel(account, run, "the run that waited for it was stopped")
        except (Conflict, NotFound):
            return

    def redrive(self, account: AccountId, run: RunId, node: str | None = None, revision: int | None = None) -> None:
        """Go on after the end: from what failed or was cut off, or from `node` with all that lies behind it.

        With `revision` the run goes on with that revision of its flow, and stays with it. Raises `NotFound`, or
        `Conflict` with the reason when there is nothing to go on from.
        """
        self._change(account, run, lambda view: [self._redrive(view, node)], self._finished_meanwhile, revision)

    def answer(self, token: str, payload: Json) -> None:
        """Answer a waiting step by its token. The first answer counts.

        Raises `NotFound` for an unknown token or one of a run that is over, `Conflict` for a second answer.
        """
        row = self._backend.callbacks.find(token_hash(token))
        if row is None:
            raise NotFound("there is no such callback")
        self._deliver(row, payload)

    def signal(self, account: AccountId, run: RunId, step: str, payload: Json) -> None:
        """Answer a waiting step by run and step: its id, its label, or its node. For people with access to the run.

        Raises `NotFound` or `Conflict` as `answer`, and `Conflict` when several steps could be meant.
        """
        view = self.view(account, run)
        found = self._waiting_step(view, step)
        row = CallbackRow(
            token_hash=token_hash(self._services.draws.token()),
            account=account,
            run=run,
            step=found,
            attempt=view.state.frontier[found].attempt,
            created_at=self._services.clock.now(),
        )
        inbox = self._backend.callbacks.inbox(account, run, found)
        if inbox is None:
            self._backend.callbacks.register(row)
            inbox = row
        self._deliver(inbox, payload)

    # -- how ----------------------------------------------------------------------------------------------------

    def _waiting_step(self, view: RunView, wanted: str) -> StepId:
        waiting = {
            step: entry
            for step, entry in view.state.frontier.items()
            if entry.phase is Phase.WAITING and entry.child is None
        }
        if StepId(wanted) in waiting:
            return StepId(wanted)
        rows = [read_attempt(row) for row in self._backend.history.open_steps(view.row.account, view.row.id)]
        labels = [row.step for row in rows if row.step in waiting and row.label == wanted]
        found = labels or [step for step, entry in waiting.items() if entry.node == wanted]
        if not found:
            names = ", ".join(sorted(entry.node for entry in waiting.values())) or "none"
            raise NotFound(f"no step {wanted!r} of the run waits for an answer; waiting: {names}")
        if len(found) > 1:
            raise Conflict(f"several steps {wanted!r} wait; name one by its id: {', '.join(found)}")
        return found[0]

    def _deliver(self, row: CallbackRow, payload: Json) -> None:
        """Put the answer into the inbox, then poke the step. Either may be repeated after a crash in between."""
        run = self._backend.runs.load([(row.account, row.run)])[0]
        if run is None:
            raise NotFound("there is no such callback")
        view = read_view(run, self._programs)
        entry = view.state.frontier.get(row.step)
        if view.state.status.over or entry is None or entry.attempt != row.attempt:
            raise Conflict("the step does not wait any more")
        fresh = self._backend.callbacks.deliver(row.token_hash, self._hidden(row, view, payload))
        poke = Receipt(row.account, row.run, row.step, POKE)
        self._backend.queue.send([Message(poke, self._services.clock.now(), 0)])
        if not fresh:
            raise Conflict("the step was answered already")

    def _hidden(self, row: CallbackRow, view: RunView, payload: Json) -> Json:
        """The answer as it may be stored: it may repeat a secret that the run has sent."""
        services, names = self._services, set(view.state.secrets)
        if view.state.frontier[row.step].phase is not Phase.WAITING:
            # Answered before the step has ended what it does: nobody knows yet which secrets it reads.
            names |= set(services.secrets.names(row.account))
        known = services.run_secrets.known(row.account, row.run, names)
        if not known:
            return payload
        text, redactor = to_json(payload, "the answer"), services.run_secrets.redactor(known)
        return services.seals.wrap(row.account, callback_place(row.run, row.step), payload, text, known, redactor)

    def _redrive(self, view: RunView, node: str | None) -> Event:
        if node is None:
            return RedriveRequested()
        ended = view.state.nodes.get(NodeId(node))
        if ended is None:
            return RedriveRequested(NodeId(node))
        row = self._services.reader.attempt(view.row.account, view.row.id, ended.step, ended.attempt)
        return RedriveRequested(NodeId(node), row.parent if row else None, row.via if row else None)

    def _on_revision(self, view: RunView, revision: int) -> RunView:
        """The run as if it had been on that revision all the time. Raises `NotFound` or `Conflict`."""
        program = self._programs.get(view.row.account, view.row.flow, revision)
        if not view.state.status.over:
            raise Conflict(f"the run is {view.state.status}; only a run that has ended can be redriven")
        try:
            state = rebase(view.state, program.graph)
        except Rejected as rejection:
            raise Conflict(str(rejection)) from None
        return RunView(replace(view.row, revision=revision), view.facts, state, program)

    def _finished_meanwhile(self, view: RunView, state: State) -> list[Outcome]:
        """Results of steps that ended after the run did: a redrive takes them over instead of executing again."""
        found: list[Outcome] = []
        for step, entry in state.frontier.items():
            if step not in view.state.parked or entry.phase not in (Phase.READY, Phase.HELD):
                continue
            row = self._backend.history.step(view.row.account, view.row.id, step, entry.attempt)
            if row is not None and row.status.final and entry.phase is Phase.READY:
                attempt: Attempt = read_attempt(row)
                found.append(Outcome(attempt.event(), attempt))
        # Items first, so that a foreach is still under way when they are taken.
        return sorted(found, key=lambda outcome: parent_of_item(outcome.attempt.step) is None)

    def _change(
        self,
        account: AccountId,
        run: RunId,
        events: Callable[[RunView], list[Event]],
        then: Callable[[RunView, State], list[Outcome]] = lambda view, state: [],
        revision: int | None = None,
    ) -> Fold:
        for _ in range(TRIES):
            view = self.view(account, run)
            if revision is not None and revision != view.row.revision:
                view = self._on_revision(view, revision)
            items_of = partial(self._services.reader.items_of, view.row.account, view.row.id)
            fold = Fold(view, self._services.clock.now(), self._services.draws.fraction, items_of)
            try:
                for event in events(view):
                    fold.apply(event)
            except Rejected as rejection:
                raise Conflict(str(rejection)) from None
            for outcome in then(view, fold.state):
                fold.take(outcome)
            commit = replace(fold.commit(self._outputs), revision=revision)
            if view.state.status.over:  # it may also end anew with this, by what came after its first end
                self._services.announce(view.row)
            if self._backend.runs.commit([commit])[0]:
                if self._watchers.watched(run):
                    scheduled = list(fold.scheduled.values())
                    ended = commit.ended_at is not None
                    self._watchers.tell(Change(view, fold.state, fold.attempts, scheduled, ended=ended, at=fold.now))
                return fold
        raise StoreError("the run changes all the time; try again")
