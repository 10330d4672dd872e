"""Writing what came of a turn: all events of a run in one conditional write, the runs of a turn in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from flowrunner.core.decide import Rejected
from flowrunner.core.events import Event
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.core.state import State
from flowrunner.engine.fold import Fold, Output
from flowrunner.engine.outcome import Outcome, RunView
from flowrunner.engine.outputs import RunOutputs
from flowrunner.engine.records import Attempt, read_attempt
from flowrunner.engine.services import Services
from flowrunner.engine.terms import Terms
from flowrunner.engine.views import BROKEN_RETRY, Views
from flowrunner.engine.watch import Change, Watchers
from flowrunner.errors import StepError, StoreError
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import Commit

MAX_TRIES = 100
"""Lost races in a row after which something is wrong with the store, not with luck."""


@dataclass(frozen=True, slots=True)
class Done:
    """A message whose business is finished but for the write: an outcome or event to commit, or a time to come back.

    With none of them the message is only acknowledged. `instead` takes its place in the other lane.
    """

    receipt: Receipt
    outcome: Outcome | None = None
    event: Event | None = None
    release: Millis | None = None
    instead: Message | None = None
    output: ReadyOutput | None = None
    """For a run that completes with this: its output, if that was evaluated already."""

    @property
    def changes(self) -> bool:
        return self.outcome is not None or self.event is not None


@dataclass(frozen=True, slots=True)
class ReadyOutput:
    """A run's output as evaluated for the state of revision `rev`: a stored value, or why there is none."""

    rev: int
    value: Json = None
    error: StepError | None = None

    def take(self, view: RunView, state: State, fresh: Sequence[Attempt]) -> Json:
        """The output, as `Fold.commit` asks for it."""
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(slots=True)
class Evaluation:
    """A run's output to be evaluated: gives back what it was made of, to be committed with the output."""

    items: list[Done]
    work: Callable[[], list[Done]]

    def __call__(self) -> list[Done]:
        return self.work()


@dataclass(slots=True)
class Committed:
    """What a turn's writes lead to.

    Messages for this worker itself, when the next other one is due, and evaluations of run outputs that take too long
    for the worker's own thread.
    """

    handed_off: list[Message] = field(default_factory=list)
    next_due: Millis | None = None
    cancel: list[tuple[AccountId, RunId]] = field(default_factory=list)
    evaluate: list[Evaluation] = field(default_factory=list)

    def due(self, moments: Iterable[Millis]) -> None:
        for moment in moments:
            self.next_due = moment if self.next_due is None else min(self.next_due, moment)


class Committer:
    """Folds what is done into commits until each is applied."""

    def __init__(
        self,
        services: Services,
        views: Views,
        watchers: Watchers,
        terms: Terms,
        cancel: Callable[[AccountId, RunId], None],
    ) -> None:
        self._services = services
        self._backend = services.backend
        self._views = views
        self._watchers = watchers
        self._terms = terms
        self._cancel = cancel
        self._outputs = RunOutputs(services)
        self._to_cancel: list[tuple[AccountId, RunId]] = []
        """Children of runs that ended: no later try of their commit would name them again."""

    def commit(self, done: Sequence[Done]) -> Committed:
        """Write everything in `done`. Raises `StoreError` when the store does not answer; nothing is lost by that."""
        result = Committed()
        self._acknowledge([one for one in done if not one.changes], result)
        pending: dict[tuple[AccountId, RunId], list[Done]] = {}
        for one in done:
            if one.changes:
                pending.setdefault((one.receipt.account, one.receipt.run), []).append(one)
        for _ in range(MAX_TRIES):
            if not pending:
                break
            pending = self._try(pending, result)
        else:
            raise StoreError(f"{len(pending)} runs could not be written: their heads change all the time")
        self._to_cancel += result.cancel
        while self._to_cancel:
            self._cancel(*self._to_cancel[0])
            del self._to_cancel[0]
        return result

    def _acknowledge(self, done: Sequence[Done], result: Committed) -> None:
        # Not acknowledged: to a queue of one lane both are the same message.
        moved = [one.instead for one in done if one.instead is not None]
        if moved:
            self._backend.queue.send(moved)
        acks = [one.receipt for one in done if one.release is None and one.instead is None]
        if acks:
            self._backend.queue.ack(acks)
        later: dict[Millis, list[Receipt]] = {}
        for one in done:
            if one.release is not None:
                later.setdefault(one.release, []).append(one.receipt)
        for due, receipts in later.items():
            self._backend.queue.release(receipts, due)
        result.due(later)

    def _try(
        self, pending: dict[tuple[AccountId, RunId], list[Done]], result: Committed
    ) -> dict[tuple[AccountId, RunId], list[Done]]:
        """One round; answers what lost its race."""
        views = self._views.get(items[0].receipt for items in pending.values())
        folds: list[tuple[tuple[AccountId, RunId], Fold]] = []
        for key, items in pending.items():
            view = views[key]
            if view is None:
                self._backend.queue.ack([one.receipt for one in items])
                continue
            if not isinstance(view, RunView):  # another worker may know what to make of it
                again = self._services.clock.now() + BROKEN_RETRY
                self._backend.queue.release([one.receipt for one in items], again)
                result.due([again])
                continue
            fold = self._fold(view, items)
            if fold.wants_script and _ready(fold, items) is None:
                result.evaluate.append(Evaluation(items, partial(self._evaluate, fold, items)))
            else:
                folds.append((key, fold))
        if not folds:
            return {}
        terms = self._terms
        lease_until = terms.lease_until()
        commits = [
            fold.commit(_ready(fold, pending[key]) or self._outputs, terms.name, lease_until, terms.keeps)
            for key, fold in folds
        ]
        applied = self._backend.runs.commit(commits)
        lost: dict[tuple[AccountId, RunId], list[Done]] = {}
        for (key, fold), commit, won in zip(folds, commits, applied, strict=True):
            if won:
                self._applied(fold, commit, result)
            else:
                self._views.drop(pending[key][0].receipt)
                lost[key] = pending[key]
        return lost

    def _fold(self, view: RunView, items: Sequence[Done]) -> Fold:
        items_of = partial(self._services.reader.items_of, view.row.account, view.row.id)
        fold = Fold(view, self._services.clock.now(), self._services.draws.fraction, items_of)
        for one in items:
            taken = True
            if one.outcome is not None:
                taken = fold.take(one.outcome)
            elif one.event is not None:
                try:
                    fold.apply(one.event)
                except Rejected:
                    taken = False  # a late or repeated event; its message is done with and that is all
            fold.done_with(one.receipt, taken=taken)
        return fold

    def _evaluate(self, fold: Fold, items: list[Done]) -> list[Done]:
        """The same items with the run's output; a worker calls it from a thread of the pool. Raises `StoreError`."""
        try:
            output = ReadyOutput(fold.state.rev, self._outputs(fold.view, fold.state, fold.attempts))
        except StepError as error:
            output = ReadyOutput(fold.state.rev, error=error)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # the pool's thread must live, and the run must end
            why = StepError(f"{type(error).__name__}: {error}", code="OUTPUT_FAILED")
            output = ReadyOutput(fold.state.rev, error=why)
        return [replace(one, output=output) for one in items]

    def _applied(self, fold: Fold, commit: Commit, result: Committed) -> None:
        row = fold.view.row
        if fold.later:
            for receipt, due in fold.later.items():
                self._backend.queue.release([receipt], due)
            result.due(fold.later.values())
        if commit.head is not None:
            self._views.keep(fold.renewed(commit))
        for step in commit.steps:
            if step.rev:
                self._services.reader.remember(row.account, row.id, step)
        result.handed_off += commit.hand_off
        result.due(message.due for message in commit.send)
        result.cancel += [(row.account, run) for run in fold.cancel]
        if self._watchers.watched(row.id):
            late = [read_attempt(step) for step in commit.steps if not step.rev]
            scheduled, ended = list(fold.scheduled.values()), commit.ended_at is not None
            change = Change(fold.view, fold.state, [*fold.attempts, *late], scheduled, ended=ended, at=fold.now)
            self._watchers.tell(change)


def _ready(fold: Fold, items: Sequence[Done]) -> Output | None:
    """The output that was evaluated for exactly this fold, if there is one: events may have come in between."""
    ready = next((one.output for one in items if one.output is not None), None)
    return ready.take if ready is not None and ready.rev == fold.state.rev else None
