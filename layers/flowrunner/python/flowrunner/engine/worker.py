"""The worker: takes messages, executes steps, commits what came of them, many runs at a time.

One thread decides and writes; threads of a pool do what blocks. Each turn of the loop is

    receive → dispatch → claim → execute (quick nodes here, others in the pool) → fold → commit → hand off

so that what became ready while the last write was under way is written together with the next. The steps that a commit
creates are handed off to the worker that made them: they are in the queue, leased to it, and if it dies they are taken
over by another when the lease ends. That is all there is to recovery.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.engine.committer import Committer, Done
from flowrunner.engine.flights import Flight, Flights, Task
from flowrunner.engine.intake import Intake, Parked
from flowrunner.engine.outcome import crashed
from flowrunner.engine.pool import ThreadPool
from flowrunner.engine.programs import Programs
from flowrunner.engine.reports import Reports
from flowrunner.engine.services import Services
from flowrunner.engine.shares import Parking, Ranked, Shares
from flowrunner.engine.starter import PreparedRun
from flowrunner.engine.terms import WorkerTerms
from flowrunner.engine.turns import Rounds, Turns
from flowrunner.engine.views import Views
from flowrunner.engine.watch import Watchers
from flowrunner.errors import StepError, StoreError, Unreadable, ValueLost
from flowrunner.ports.queue import Delivery, Receipt

COME_AGAIN: Millis = 2_000
"""After so long a step comes again that met trouble with the store or the keys."""

PATIENCE: Millis = 3_600_000
"""So long after it was due such a step fails."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`threads` nodes that block run at once; `in_flight` messages are held at most; times in ms."""

    threads: int = 32
    in_flight: int = 256
    batch: int = 64
    lease: Millis = 30_000
    step_timeout: Millis = 3_600_000
    idle_check: Millis = 15_000
    """An idle worker looks into the queue this often, in case a wakeup was lost."""


@dataclass(slots=True)
class Start:
    """A prepared run on its way into the store; `done` is set when it is there."""

    prepared: PreparedRun
    done: threading.Event
    created: bool = False
    error: BaseException | None = None


class Worker:
    """One worker. `run` serves until `stop`; several workers may serve one backend."""

    def __init__(
        self,
        services: Services,
        programs: Programs,
        watchers: Watchers,
        name: str,
        settings: WorkerSettings,
        cancel: Callable[[AccountId, RunId], None] = lambda account, run: None,
        on_error: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._services = services
        self._backend = services.backend
        self._clock = services.clock
        self._on_error = on_error
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self._ready: list[Ranked] = []
        self._parking = Parking()
        self._turns = Turns(services.backend.queue, name)
        self._rounds = Rounds()
        self._views = Views(services.backend.runs, programs)
        self._reports = Reports(services, watchers, name, lambda: self._inbox.put(_NEWS))
        pool = ThreadPool(settings.threads, f"{name}-node")
        self._flights = Flights(services, watchers, pool, settings.threads, self._inbox.put, self._reports.heard)
        terms = WorkerTerms(services.clock, name, settings.lease, settings.step_timeout)
        self._intake = Intake(services, self._views, terms, Shares(self._flights))
        self._committer = Committer(services, self._views, watchers, terms, cancel)
        self._look = True
        self._next_visible: Millis = 0
        self._next_renewal: Millis = 0
        self._done: list[Done] = []
        self._stopping = False
        self._failures = 0

    # -- from other threads -------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the loop to end: steps in flight are given the time to finish, messages not begun are given back."""
        self._inbox.put(_STOP)

    def wake(self) -> None:
        """There may be something in the queue."""
        self._inbox.put(_WAKE)

    def start(self, prepared: PreparedRun) -> bool:
        """Store a run together with whatever else the worker writes. True if it was new; blocks until it is there."""
        wish = Start(prepared, threading.Event())
        self._inbox.put(wish)
        wish.done.wait()
        if wish.error is not None:
            raise wish.error
        return wish.created

    # -- the loop -----------------------------------------------------------------------------------------------

    def run(self, grace: Millis = 30_000) -> None:
        """Serve until stopped, then wait up to `grace` ms for what is in flight."""
        leave = self._backend.wakeups.listen(lambda topic: self.wake() if topic == "queue" else None)
        try:
            while not self._stopping:
                self._turn_safely()
            self._give_back()
            self._finish(self._clock.now() + grace)
        finally:
            leave()
            self._flights.close()

    def drain(self) -> Millis | None:
        """Do all that is due, in the caller's thread, and answer when something is due next; None for nothing.

        For tests and for callers that turn the clock themselves; not together with `run`.
        """
        self._look = True
        while True:
            self._turn(0.02 if self._flights else 0.0)
            if self._ready or self._done or self._flights or self._look or self._parking:
                continue
            visible = self._backend.queue.next_visible()
            if visible is None or visible > self._clock.now():
                return visible
            self._look = True

    def _turn_safely(self) -> None:
        """One turn. Trouble with the store is waited out: everything that matters is in the queue."""
        try:
            self._turn(self._patience())
            self._failures = 0
        except (StoreError, Unreadable) as error:
            self._failures += 1
            self._on_error(error)
            self._views.clear()
            self._wait(min(100 * 2 ** min(self._failures, 6), 5_000))

    def _turn(self, patience: float) -> None:
        starts = self._drain(patience)
        if starts:
            self._store_starts(starts)
        if self._look or self._clock.now() >= self._next_visible:
            self._receive()
        self._done += self._flights.overdue(self._clock.now())
        self._take(self._next_batch())
        self._commit()
        self._reports.round(self._flights)
        self._renew()
        trouble, self._flights.trouble = self._flights.trouble, None
        if trouble is not None:
            raise trouble

    def _drain(self, patience: float) -> list[Start]:
        """Sort out what other threads have put into the inbox; waits up to `patience` seconds for the first."""
        starts: list[Start] = []
        try:
            item = self._inbox.get(timeout=patience) if patience > 0 else self._inbox.get_nowait()
            while True:
                self._sort(item, starts)
                item = self._inbox.get_nowait()
        except Empty:
            return starts

    def _sort(self, item: Any, starts: list[Start]) -> None:
        if item is _WAKE:
            self._look = True
        elif item is _NEWS:
            self._reports.woken()
        elif item is _STOP:
            self._stopping = True
        elif isinstance(item, Start):
            starts.append(item)
        elif isinstance(item, Flight):
            landed = self._flights.landed(item)
            if landed is not None and item.error is not None:
                self._came_to_nothing(item.task, item.error)
            elif landed is not None:
                self._done.append(landed)
        elif isinstance(item, list):
            self._flights.computed()
            self._done += item

    def _patience(self) -> float:
        """Seconds until something is due by itself."""
        if self._ready or self._done or self._look or self._stopping:
            return 0.0
        if self._parking.can_go(self._flights.own, self._flights.free):
            return 0.0
        now = self._clock.now()
        moments = [now + self._settings.idle_check, self._next_visible]
        if self._flights:
            moments += [self._next_renewal, self._flights.next_deadline(), self._reports.next]
        return max(0.0, (min(moments) - now) / 1000)

    def _store_starts(self, starts: Sequence[Start]) -> None:
        now = self._clock.now()
        rows = [start.prepared.view.row for start in starts]
        messages = [message for start in starts for message in start.prepared.messages]
        try:
            created = self._backend.runs.create(rows, messages, owner=self.name, lease_until=now + self._settings.lease)
        except StoreError as error:
            for start in starts:
                start.error = error
                start.done.set()
            return
        for start, new in zip(starts, created, strict=True):
            start.created = new
            if new:
                self._views.keep(start.prepared.view)
                for message in start.prepared.messages:
                    if message.due <= start.prepared.view.row.created_at:
                        self._push(Delivery(message.receipt, 1), message.priority)
                    else:
                        self._next_visible = min(self._next_visible, message.due)
            start.done.set()

    def _receive(self) -> None:
        room = self._settings.in_flight - len(self._ready) - len(self._flights) - len(self._parking)
        if room <= 0:
            room += self._put_off(room)
        if room <= 0:
            # Look again when something has ended.
            self._next_visible = self._clock.now() + 50
            return
        now = self._clock.now()
        limit = min(room, self._settings.batch)
        received = self._turns.receive(now, now + self._settings.lease, limit)
        self._look = len(received) == limit
        held = self._held() if received else set()
        for delivery in received:
            self._views.drop(delivery.receipt)
            if delivery.receipt not in held:
                held.add(delivery.receipt)
                self._push(delivery, 1)
        if not self._look:
            visible = self._backend.queue.next_visible()
            self._next_visible = visible if visible is not None else now + self._settings.idle_check

    def _held(self) -> set[Receipt]:
        """Messages that are here already: one whose lease has lapsed comes again, and its claim would be granted."""
        waiting = (delivery.receipt for _, _, delivery in self._ready)
        done = (one.receipt for one in self._done)
        return {*self._flights.receipts(), *waiting, *done, *self._parking.receipts()}

    def _push(self, delivery: Delivery, priority: int) -> None:
        heapq.heappush(self._ready, (priority, self._rounds.place(delivery.receipt.account), delivery))

    def _put_off(self, room: int) -> int:
        """Give back what one account has beyond its part of what this worker can hold; answers how many."""
        surplus, pause = self._parking.surplus(room)
        if surplus:
            self._backend.queue.release([one.receipt for one in surplus], self._clock.now() + pause)
        return len(surplus)

    def _next_batch(self) -> list[Ranked]:
        parked = self._parking.go(self._flights.own, self._flights.free, self._settings.batch)
        count = min(len(self._ready), self._settings.batch - len(parked))
        ready = [heapq.heappop(self._ready) for _ in range(count)]
        if ready:
            self._rounds.served(ready[-1][1])
        return parked + ready

    def _take(self, batch: Sequence[Ranked]) -> None:
        """Begin what the messages ask for."""
        ranks = {one[2].receipt: one for one in batch}
        for task in self._intake.tasks([delivery for _, _, delivery in batch]):
            if isinstance(task, Done):
                self._done.append(task)
            elif isinstance(task, Parked):
                self._parking.add(ranks[task.receipt])
            elif task.in_pool:
                self._flights.begin(task)
            else:
                try:
                    self._done.append(self._flights.run_here(task))
                except (StoreError, Unreadable) as error:
                    self._came_to_nothing(task, error)

    def _came_to_nothing(self, task: Task, error: Exception) -> None:
        """A step that met trouble with the store or the keys comes again, but not for ever, and not to a lost value."""
        failure: StepError = crashed(error)
        if isinstance(error, ValueLost):
            failure = StepError(str(error), code=error.code)
        elif isinstance(error, StepError):
            failure = error
        if isinstance(error, ValueLost) or self._clock.now() - task.job.entry.due > PATIENCE:
            task.job.patient = False
            self._done.append(Done(task.receipt, outcome=task.execution.failed(failure)))
            return
        self._on_error(error)
        receipt, due = task.receipt, self._clock.now() + COME_AGAIN
        with suppress(StoreError):  # then it is as if this worker had died, and the leases end by themselves
            if task.claimed:
                self._backend.runs.let_go([(receipt.account, receipt.run, receipt.step, receipt.attempt)], self.name)
            self._backend.queue.release([receipt], due)
        self._next_visible = min(self._next_visible, due)

    def _commit(self) -> None:
        """Write what is done. What could not be written stays and is tried again: nothing is executed twice for it."""
        if not self._done:
            return
        result = self._committer.commit(self._done)
        self._done = []
        for message in result.handed_off:
            self._push(Delivery(message.receipt, 1), message.priority)
        if result.next_due is not None:
            self._next_visible = min(self._next_visible, result.next_due)
        for work in result.evaluate:
            self._flights.compute(work)

    def _renew(self) -> None:
        """Prolong the leases of all that is held, and stop what has lost its run."""
        now = self._clock.now()
        if now < self._next_renewal:
            return
        self._next_renewal = now + min(self._settings.lease // 3, 1_000)
        if not self._flights:
            return
        self._flights.cancel_of_ended_runs()
        waiting = (delivery.receipt for _, _, delivery in self._ready)
        held = [*self._flights.receipts(), *waiting, *self._parking.receipts()]
        self._backend.queue.renew(held, self.name, now + self._settings.lease)
        claims = [(at.account, at.run, at.step, at.attempt) for at in self._flights.claimed()]
        if claims:
            self._backend.runs.renew(claims, self.name, now + self._settings.lease)

    # -- stopping -----------------------------------------------------------------------------------------------

    def _give_back(self) -> None:
        receipts = [delivery.receipt for _, _, delivery in self._ready]
        receipts += [delivery.receipt for delivery in self._parking.clear()]
        self._ready.clear()
        if receipts:
            self._backend.queue.release(receipts, self._clock.now())

    def _finish(self, until: Millis) -> None:
        while (self._flights or self._done) and self._clock.now() < until:
            for start in self._drain(0.1):
                _refuse(start)
            self._done += self._flights.overdue(self._clock.now())
            self._commit()
            self._give_back()
            self._reports.round(self._flights)
            self._renew()

    def _wait(self, pause: Millis) -> None:
        """Let some time pass after trouble with the store."""
        deadline = self._clock.monotonic() + pause / 1000
        while not self._stopping and (left := deadline - self._clock.monotonic()) > 0:
            for start in self._drain(left):
                _refuse(start)


def _refuse(start: Start) -> None:
    start.error = StoreError()
    start.done.set()


_NEWS = object()
_WAKE = object()
_STOP = object()
