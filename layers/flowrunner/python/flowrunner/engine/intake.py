"""From messages to tasks: what is asked for is looked up, claimed where it has effects, and made ready to execute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowrunner.core.events import DeadlinePassed, RunSettled, SlotGranted
from flowrunner.core.ids import Millis, StepId
from flowrunner.core.state import Entry
from flowrunner.engine.committer import Done
from flowrunner.engine.dispatch import ADMIT, POKE, Ack, Admit, Execute, Expire, Later, Look, Settle, dispatch
from flowrunner.engine.execute import Execution
from flowrunner.engine.flights import Task
from flowrunner.engine.outcome import Job, Outcome, RunView
from flowrunner.engine.records import RunFacts, read_attempt
from flowrunner.engine.services import Services
from flowrunner.engine.shares import Shares
from flowrunner.engine.slots import RunSlots
from flowrunner.engine.terms import Terms
from flowrunner.engine.views import BROKEN_RETRY, Views
from flowrunner.errors import Ambiguous, CrashLoop, FlowrunnerError, Unreadable
from flowrunner.ports.queue import Delivery, Message, Receipt
from flowrunner.ports.runs import ClaimAnswer, ClaimRequest, ClaimStatus, RowStatus

MAX_CLAIMS = 3
"""Claims of one attempt that ended without a result, after which it is given up (`CRASH_LOOP`)."""

MAX_RECEIVES = 5
"""The same for steps that need no claim, by the times their message was received."""

NO_KEY_RETRY: Millis = 10_000
"""When to look again at a run whose secrets this process has no key for."""

RENEW_MARGIN: Millis = 1_000

__all__ = ["Intake", "Parked", "Task"]


@dataclass(frozen=True, slots=True)
class Parked:
    """A delivery whose account has as many threads as it may have now."""

    receipt: Receipt


class Intake:
    """Turns deliveries into tasks and finished business. With `shares` accounts share the threads there are."""

    def __init__(self, services: Services, views: Views, terms: Terms, shares: Shares | None = None) -> None:
        self._services = services
        self._backend = services.backend
        self._views = views
        self._terms = terms
        self._shares = shares
        self._slots = RunSlots(services.backend.documents, services.backend.runs, services.clock)

    def tasks(self, deliveries: Sequence[Delivery]) -> list[Task | Done | Parked]:
        """What to execute, what is settled without that, and what has to wait for a thread."""
        if not deliveries:
            return []
        views = self._views.get(delivery.receipt for delivery in deliveries)
        if self._shares is not None:
            self._shares.begin()
        result: list[Task | Done | Parked] = []
        to_claim: list[Task] = []
        for delivery in deliveries:
            receipt = delivery.receipt
            view = views[receipt.account, receipt.run]
            if view is None:
                result.append(Done(receipt))
            elif isinstance(view, FlowrunnerError):
                result.append(Done(receipt, release=self._services.clock.now() + BROKEN_RETRY))
            else:
                made = self._make(view, delivery)
                if isinstance(made, Task) and made.claimed:
                    to_claim.append(made)
                else:
                    result.append(made)
        result += self._claim(to_claim)
        return result

    def _make(self, view: RunView, delivery: Delivery) -> Task | Done | Parked:
        receipt = delivery.receipt
        now = self._services.clock.now()
        match dispatch(view, receipt, now):
            case Ack():
                return Done(receipt)
            case Later(due):
                return Done(receipt, release=due)
            case Expire():
                return Done(receipt, event=DeadlinePassed())
            case Admit():
                return self._admit(view, receipt)
            case Settle():
                return self._settle(view, delivery)
            case Look(entry):
                return self._look(view, receipt, entry)
            case Execute(entry, answer):
                return self._task(view, delivery, entry, answer)

    def _task(
        self, view: RunView, delivery: Delivery, entry: Entry, answer: dict[str, object] | None
    ) -> Task | Done | Parked:
        receipt = delivery.receipt
        now = self._services.clock.now()
        if answer is None and self._terms.elsewhere(view.program, receipt.step, entry):
            return Done(receipt, instead=Message(receipt, now, view.row.priority, slow=True))
        if not self._terms.fits(view.program, receipt.step, entry):
            return Done(receipt, release=now)
        node = view.program.nodes[entry.node]
        in_pool = not node.inline or answer is not None
        if in_pool and self._shares is not None and not self._shares.admits(receipt.account):
            return Parked(receipt)
        job = self._job(view, receipt, entry, answer)
        execution = Execution(self._services, job, self._terms.name)
        try:
            execution.scope.known()
        except Unreadable:
            # A step that cannot be masked must not begin: what it would say and give could not be stored.
            return Done(receipt, release=now + NO_KEY_RETRY)
        works = answer is None and node.does_work(receipt.step)
        claimed = works and self._terms.claims(node, delivery)
        if works and not claimed and delivery.receives > MAX_RECEIVES:
            return Done(receipt, outcome=execution.failed(CrashLoop()))
        if in_pool and self._shares is not None:
            self._shares.plan(receipt.account)
        return Task(receipt, job, execution, claimed=claimed, leased=delivery.leased, in_pool=in_pool)

    def _job(self, view: RunView, receipt: Receipt, entry: Entry, answer: dict[str, object] | None) -> Job:
        node = view.program.nodes[entry.node]
        deadline = self._terms.deadline(node)
        return Job(
            view=view,
            state=view.state,
            step=receipt.step,
            entry=entry,
            node=node,
            started_at=self._services.clock.now(),
            deadline=deadline.at,
            limit=deadline.because,
            answer=answer,
        )

    def _claim(self, tasks: Sequence[Task]) -> list[Task | Done]:
        if not tasks:
            return []
        answers = self._backend.runs.claim([self.request(task) for task in tasks])
        return [self._claimed(task, answer) for task, answer in zip(tasks, answers, strict=True)]

    def request(self, task: Task) -> ClaimRequest:
        """The wish to execute a task."""
        receipt, entry = task.receipt, task.job.entry
        return ClaimRequest(
            account=receipt.account,
            run=receipt.run,
            step=receipt.step,
            attempt=receipt.attempt,
            node=entry.node,
            owner=self._terms.name,
            now=task.job.started_at,
            lease_until=self._terms.lease_until(),
            body=task.execution.under_way().encode(),
            at_most_once=task.job.node.node.at_most_once,
        )

    def _claimed(self, task: Task, answer: ClaimAnswer) -> Task | Done:
        match answer.status:
            case ClaimStatus.GRANTED if answer.claims > MAX_CLAIMS:
                return Done(task.receipt, outcome=task.execution.failed(CrashLoop(claims=answer.claims - 1)))
            case ClaimStatus.GRANTED:
                return task
            case ClaimStatus.DONE if answer.row is not None:
                attempt = read_attempt(answer.row)
                return Done(task.receipt, outcome=Outcome(attempt.event(), attempt))
            case ClaimStatus.LAPSED:
                return Done(task.receipt, outcome=task.execution.failed(Ambiguous()))
            case ClaimStatus.HELD:
                return self._begun(task) or Done(task.receipt, release=answer.lease_until + RENEW_MARGIN)
            case _:
                return Done(task.receipt)

    def _begun(self, task: Task) -> Done | None:
        """What to commit of a step that began to wait when its run was over, now that the run goes on after all."""
        receipt = task.receipt
        row = self._backend.history.step(receipt.account, receipt.run, receipt.step, receipt.attempt)
        if row is None or row.status is not RowStatus.WAITING or row.rev:
            return None
        attempt = read_attempt(row)
        return Done(receipt, outcome=Outcome(attempt.event(), attempt))

    def _look(self, view: RunView, receipt: Receipt, entry: Entry) -> Task | Done | Parked:
        answer: dict[str, object] | None = None
        if entry.child is not None:
            if self._services.children.ended(receipt.account, entry.child):
                answer = {"child": entry.child}
        else:
            inbox = self._backend.callbacks.inbox(receipt.account, receipt.run, receipt.step)
            if inbox is not None and inbox.delivered:
                answer = {"payload": inbox.payload}
        if answer is None:
            return Done(receipt)
        return self._task(view, Delivery(receipt, 1), entry, answer)

    def _admit(self, view: RunView, receipt: Receipt) -> Done:
        slot = view.state.slot
        if slot is None:
            return Done(receipt)
        turn = self._slots.ask_again(receipt.account, slot, receipt.run, view.program.flow.concurrency)
        if turn.again is not None:
            # A message of its own: this one is taken away when it has been handled.
            again = Receipt(receipt.account, receipt.run, receipt.step, receipt.attempt + 1)
            self._backend.queue.send([Message(again, turn.again, view.row.priority)])
        return Done(receipt, event=SlotGranted() if turn.granted else None)

    def _settle(self, view: RunView, delivery: Delivery) -> Done:
        """Tell the parent run and give the place on. All of it may be done twice."""
        receipt = delivery.receipt
        now = self._services.clock.now()
        messages: list[Message] = []
        if view.facts.parent is not None:
            messages.append(self._poke(receipt, view.facts, now))
        concurrency = view.program.flow.concurrency
        if view.state.slot is not None and concurrency is not None:
            slots, granted = self._slots.release(receipt.account, view.state.slot, receipt.run, concurrency.max_runs)
            # When this is not the first try, an earlier one may have granted places and died before saying so.
            told = slots.holders if delivery.receives > 1 else granted
            messages += [
                Message(Receipt(receipt.account, run, StepId(ADMIT), 1), now, view.row.priority) for run in told
            ]
        if messages:
            self._backend.queue.send(messages)
        return Done(receipt, event=RunSettled())

    @staticmethod
    def _poke(receipt: Receipt, facts: RunFacts, now: Millis) -> Message:
        assert facts.parent is not None, "only a child run pokes its parent"
        run, step, _ = facts.parent
        return Message(Receipt(receipt.account, type(receipt.run)(run), StepId(step), POKE), now, 0)
