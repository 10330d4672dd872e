"""Executions under way in this worker."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

from flowrunner.core.ids import AccountId, Millis
from flowrunner.core.status import TERMINAL
from flowrunner.engine.committer import Done, Evaluation
from flowrunner.engine.execute import Execution
from flowrunner.engine.giving_up import GivenUp, interrupt
from flowrunner.engine.outcome import Job, Outcome
from flowrunner.engine.pool import Threads
from flowrunner.engine.services import Services
from flowrunner.engine.watch import Change, Watchers
from flowrunner.errors import StoreError
from flowrunner.ports.queue import Receipt

FAR_AWAY: Millis = 2**62
"""Later than anything."""

INTERRUPTED_WITHIN = 1_000
"""Rounds of a loop; an exception from another thread arrives in the first few."""


@dataclass(slots=True)
class Task:
    """A job ready to run, with the message that asked for it."""

    receipt: Receipt
    job: Job
    execution: Execution
    claimed: bool = False
    leased: bool = False
    """It was handed off to whoever executes it, and nobody else is given it for the time being."""
    in_pool: bool = True
    """It may take long, so it has a thread of its own."""


@dataclass(slots=True)
class Flight:
    """A task in a thread of the pool; `outcome` is set when it has landed."""

    task: Task
    outcome: Outcome | None = None
    error: Exception | None = None
    """Trouble that is no failure of the step, which has to come again."""
    overdue: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    thread: int | None = None
    """Which thread executes it, as long as it does."""
    told: int = 0
    """How many entries watchers have been told, and how many the store has; see `reports`."""
    written: int = 0
    written_at: Millis = 0


class Flights:
    """Begins tasks, here or in the pool, and gives up those that are past their deadline.

    `landed` and `spoke` are called from the pool's threads: with what has ended, and when a step has something to say.
    With `interrupts` a thread that is given up is made to end; see `giving_up`.
    """

    def __init__(
        self,
        services: Services,
        watchers: Watchers,
        pool: Threads,
        threads: int,
        landed: Callable[[Flight | list[Done]], None],
        spoke: Callable[[], None],
        *,
        interrupts: bool = False,
    ) -> None:
        self._services = services
        self._watchers = watchers
        self._pool = pool
        self._threads = threads
        self._own: Counter[AccountId] = Counter()
        self._landed = landed
        self._interrupts = interrupts
        self._spoke = spoke
        self._flights: dict[Receipt, Flight] = {}
        self._computing = 0
        self.trouble: StoreError | None = None
        """What the store last said to an evaluation, for whoever is to wait before the next one."""

    def __len__(self) -> int:
        return len(self._flights) + self._computing

    @property
    def free(self) -> int:
        """Threads that have nothing to do."""
        return max(0, self._threads - len(self))

    def own(self, account: AccountId) -> int:
        """Threads that work for an account."""
        return self._own[account]

    def receipts(self) -> Collection[Receipt]:
        return self._flights.keys()

    def all(self) -> list[Flight]:
        return [*self._flights.values()]

    def talking(self) -> list[Flight]:
        """Those that have said something."""
        return [flight for flight in self._flights.values() if flight.task.execution.entries]

    def claimed(self) -> list[Receipt]:
        return [receipt for receipt, flight in self._flights.items() if flight.task.claimed]

    def run_here(self, task: Task) -> Done:
        """Execute in the worker's own thread. It begins now: what came before it in its batch took time of its own."""
        task.job.started_at = self._services.clock.now()
        self._tell(task)
        return Done(task.receipt, outcome=task.execution.run())

    def begin(self, task: Task) -> None:
        """Execute in the pool; the flight is handed to `landed` when it ends."""
        flight = Flight(task, written_at=task.job.started_at)
        if task.receipt not in self._flights:
            self._own[task.receipt.account] += 1
        self._flights[task.receipt] = flight
        self._tell(task)
        task.execution.entries.listen(self._spoke)

        self._pool.submit(lambda: self._fly(flight))

    def _fly(self, flight: Flight) -> None:
        """Execute a flight's task, in a thread of the pool."""
        with suppress(GivenUp):
            flight.thread = threading.get_ident()
            try:
                if not flight.overdue:
                    flight.outcome = flight.task.execution.run()
            except Exception as error:  # noqa: BLE001  # whoever waits for it decides; the pool's thread must live
                flight.error = error
            finally:
                with flight.lock:
                    flight.thread = None
            for _ in range(INTERRUPTED_WITHIN if flight.overdue else 0):
                pass  # what was raised in this thread a moment ago is to arrive here
        self._landed(flight)

    def compute(self, work: Evaluation) -> None:
        """Evaluate in the pool; what is to be committed is handed to `landed`, as it was if the store is in trouble."""
        self._computing += 1
        self._pool.submit(lambda: self._compute(work))

    def _compute(self, work: Evaluation) -> None:
        done = work.items
        try:
            done = work()
        except StoreError as error:
            self.trouble = error
        self._landed(done)

    def computed(self) -> None:
        self._computing -= 1

    def landed(self, flight: Flight) -> Done | None:
        """Take a flight out; None for one that was given up before."""
        if flight.overdue:
            self._pool.recovered()
            return None
        self._remove(flight)
        return Done(flight.task.receipt, outcome=flight.outcome)

    def next_deadline(self) -> Millis:
        deadlines = [flight.task.job.deadline for flight in self._flights.values()]
        return min(deadlines, default=FAR_AWAY)

    def overdue(self, now: Millis) -> list[Done]:
        """Give up what is past its deadline: its thread is written off, its outcome is a timeout."""
        late = [flight for flight in self._flights.values() if flight.task.job.deadline <= now]
        for flight in late:
            flight.overdue = True
            flight.task.job.cancelled = True
            flight.task.job.given_up = flight.thread
            if self._interrupts:
                with flight.lock:
                    if flight.thread is not None:
                        interrupt(flight.thread)
            self._pool.write_off()
            self._remove(flight)
        return [Done(flight.task.receipt, outcome=flight.task.execution.timed_out()) for flight in late]

    def cancel_of_ended_runs(self) -> None:
        """Tell executions whose run is over meanwhile; those that look (`ctx.cancelled()`) stop early."""
        keys = list({(receipt.account, receipt.run) for receipt in self._flights})
        rows = self._services.backend.runs.load(keys)
        gone = {key for key, row in zip(keys, rows, strict=True) if row is None or row.status in TERMINAL}
        for receipt, flight in self._flights.items():
            if (receipt.account, receipt.run) in gone:
                flight.task.job.cancelled = True

    def _remove(self, flight: Flight) -> None:
        receipt = flight.task.receipt
        if self._flights.pop(receipt, None) is not None:
            self._own[receipt.account] -= 1
            if not self._own[receipt.account]:
                del self._own[receipt.account]

    def close(self) -> None:
        self._pool.close()

    def _tell(self, task: Task) -> None:
        view = task.job.view
        if self._watchers.watched(view.row.id):
            under_way = task.execution.under_way() if self._watchers.followed(view.row.id) else None
            self._watchers.tell(Change(view, task.job.state, started=task.job.step, under_way=under_way))
