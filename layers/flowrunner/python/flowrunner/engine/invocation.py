"""Invocations: steps executed by a process that has little time, and is stopped when it has answered (AWS Lambda).

    deliveries → claim → execute → commit → send what follows → answer

Nobody waits for messages here and nobody renews a lease: whatever is begun ends before the invocation does, or is given
up (`giving_up`). A flow in express mode goes on with one successor of each commit while there is time, and so saves
messages and claims; every step is committed as ever. Trouble of tenants ends in their runs. Trouble with the store
never does: its messages come again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.engine.committer import Committed, Committer, Done
from flowrunner.engine.flights import FAR_AWAY, Flight, Flights, Task
from flowrunner.engine.intake import Intake, Parked
from flowrunner.engine.pool import ThreadEach
from flowrunner.engine.programs import Programs
from flowrunner.engine.reports import report_of
from flowrunner.engine.services import Services
from flowrunner.engine.terms import InvocationTerms
from flowrunner.engine.views import Views
from flowrunner.engine.watch import Watchers
from flowrunner.errors import StoreError
from flowrunner.ports.queue import Delivery, Receipt
from flowrunner.ports.runs import ClaimStatus

WATCH_EVERY: Millis = 2_000
"""A step that takes longer than this is seen to be under way, tells what it says, and hears that its run is over.

Shorter ones, which are most, tell it all with their commit and cost nothing more.
"""

COMMIT_PAUSES: tuple[Millis, ...] = (100, 200, 400, 800, 1_600)
"""A commit that the store did not take is tried again after these: what was executed would be executed again."""

PAUSE: Millis = 5_000
COME_AGAIN = (1, 4, 12, 36)
"""After so many pauses a message comes again that met trouble, by the times it was received."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InvocationSettings:
    """`slow_lane`: which of two lanes is served; None where there is one for all. `threads` steps run at once.

    Without `express` flows of that mode are executed like others. `pause`: see `COME_AGAIN`; `pauses`: `COMMIT_PAUSES`.
    """

    slow_lane: bool | None = None
    threads: int = 16
    express: bool = True
    pause: Millis = PAUSE
    pauses: tuple[Millis, ...] = COMMIT_PAUSES


class Invocations:
    """What a process needs to handle one invocation after the other. Not safe for several threads."""

    def __init__(
        self,
        services: Services,
        programs: Programs,
        watchers: Watchers,
        settings: InvocationSettings,
        cancel: Callable[[AccountId, RunId], None] = lambda account, run: None,
        on_error: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self.services = services
        self.programs = programs
        self.watchers = watchers
        self.settings = settings
        self.cancel = cancel
        self.on_error = on_error

    def settle(self, done: Sequence[Done], ends_at: Millis) -> list[Receipt]:
        """Write what somebody else has found out of messages; answers those that could not be settled."""
        return self._invocation(ends_at, "").settle(done)

    def handle(self, deliveries: Sequence[Delivery], ends_at: Millis, name: str = "") -> list[Receipt]:
        """Do what the messages ask for, before `ends_at`; answers those that have to be delivered again.

        `name` owns the leases and is never used twice; drawn if not given. Raises nothing for what tenants, the store
        or the network do. When it returns, no thread of it touches anything any more.
        """
        return self._invocation(ends_at, name).handle(deliveries)

    def _invocation(self, ends_at: Millis, name: str) -> _Invocation:
        name = name or f"invocation-{self.services.draws.new_id()}"
        settings = self.settings
        terms = InvocationTerms(self.services.clock, name, ends_at, settings.slow_lane, express=settings.express)
        return _Invocation(self, terms)


class _Invocation:
    """One invocation. Its thread decides and writes, as a worker's does; steps that may block have threads."""

    def __init__(self, all_: Invocations, terms: InvocationTerms) -> None:
        services = all_.services
        self._settings = all_.settings
        self._on_error = all_.on_error
        self._clock = services.clock
        self._draws = services.draws
        self._queue = services.backend.queue
        self._runs = services.backend.runs
        self._terms = terms
        self._views = Views(self._runs, all_.programs)
        self._inbox: SimpleQueue[Flight] = SimpleQueue()
        self._flights = Flights(
            services,
            all_.watchers,
            ThreadEach(terms.name),
            self._settings.threads,
            self._landed,
            lambda: None,
            interrupts=True,
        )
        self._intake = Intake(services, self._views, terms)
        self._committer = Committer(services, self._views, all_.watchers, terms, all_.cancel)
        self._ready: list[Delivery] = []
        self._done: list[Done] = []
        self._open: dict[Receipt, int] = {}
        """Deliveries that are not settled, and how often they were received."""
        self._origins: dict[Receipt, tuple[tuple[Receipt, int], ...]] = {}
        """The deliveries that led to what was handed off."""
        self._passed: Millis = services.clock.now()
        self._next_look = FAR_AWAY

    def handle(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        for delivery in deliveries:
            if delivery.receipt not in self._open:
                self._ready.append(delivery)
            self._open[delivery.receipt] = max(delivery.receives, self._open.get(delivery.receipt, 0))
        return self._finish()

    def settle(self, done: Sequence[Done]) -> list[Receipt]:
        self._open.update({one.receipt: 1 for one in done})
        self._done += done
        return self._finish()

    def _finish(self) -> list[Receipt]:
        while self._ready or self._done or self._flights:
            self._begin()
            if self._flights and not self._done:
                self._wait()
            self._commit()
        self._put_off()
        return [*self._open]

    def _landed(self, flight: Flight | list[Done]) -> None:
        if isinstance(flight, Flight):
            self._inbox.put(flight)

    # -- beginning ----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        room = max(0, self._settings.threads - len(self._flights))
        batch, self._ready = self._ready[:room], self._ready[room:]
        if batch:
            self._take(batch)
            self._terms.first = False

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        """Begin what messages ask for: together, or one by one if there is trouble with one of them."""
        try:
            tasks = self._intake.tasks(deliveries)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told, and the message comes again
            self._views.clear()
            if len(deliveries) == 1:
                self._trouble(deliveries[0].receipt, error)
                return
            for delivery in deliveries:
                self._take([delivery])
            return
        for task in tasks:
            if isinstance(task, Done):
                self._done.append(task)
            elif not isinstance(task, Parked):
                self._execute(task)

    def _execute(self, task: Task) -> None:
        if task.in_pool:
            self._passed = max(self._passed, self._clock.now())
            if not self._flights:
                self._next_look = self._passed + WATCH_EVERY
            self._flights.begin(task)
            return
        try:
            self._done.append(self._flights.run_here(task))
        except Exception as error:  # noqa: BLE001  # as above
            self._came_to_nothing(task, error)

    # -- waiting ------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Until a step has ended, or is to be looked after, or is over its time."""
        moment = min(self._flights.next_deadline(), self._next_look)
        self._passed = max(self._passed, self._clock.now())
        try:
            self._land(self._inbox.get(timeout=max(0, moment - self._passed) / 1000))
            while True:
                self._land(self._inbox.get_nowait())
        except Empty:
            if self._done:
                return
        self._passed = max(moment, self._clock.now())
        self._done += self._flights.overdue(self._passed)
        if self._passed >= self._next_look:
            self._next_look = self._passed + WATCH_EVERY
            with suppress(StoreError):  # what is lost here is told with the commit
                self._look_after()

    def _land(self, flight: Flight) -> None:
        done = self._flights.landed(flight)
        if done is None:
            return
        if flight.error is not None:
            self._came_to_nothing(flight.task, flight.error)
        else:
            self._done.append(done)

    def _look_after(self) -> None:
        """Let the steps that take long be seen, and hear that their run is over."""
        self._flights.cancel_of_ended_runs()
        long = [one for one in self._flights.all() if one.task.job.started_at + WATCH_EVERY <= self._passed]
        for task in (one.task for one in long):
            if task.leased and not task.claimed and task.job.node.claimed:
                [answer] = self._runs.claim([self._intake.request(task)])
                task.claimed = answer.status is ClaimStatus.GRANTED
        news = [one for one in long if one.task.claimed and one.task.execution.entries.count > one.written]
        if news:
            self._runs.report([report_of(flight, self._terms.name, self._passed) for flight in news])

    # -- ending -------------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        """Write what is done, again and again for a while if the store does not take it."""
        done, self._done = self._done, []
        again = False
        for pause in (*self._settings.pauses, None) if done else ():
            try:
                self._settled(done, self._write(done), again=again)
            except StoreError as error:
                again = True
                self._views.clear()
                if pause is None or pause > self._terms.time_left() // 2:
                    self._commit_each(done, error)
                    return
                threading.Event().wait(pause / 1000)
            except Exception as error:  # noqa: BLE001  # a mistake of ours with one run is no trouble for others
                self._commit_each(done, error)
                return
            else:
                return

    def _commit_each(self, done: Sequence[Done], error: Exception) -> None:
        """Write each run's part by itself, once."""
        parts: dict[tuple[AccountId, RunId], list[Done]] = {}
        for one in done:
            parts.setdefault((one.receipt.account, one.receipt.run), []).append(one)
        for part in parts.values():
            why = error
            if len(parts) > 1:
                try:
                    self._settled(part, self._write(part), again=True)
                except Exception as own:  # noqa: BLE001  # as above
                    why = own
                else:
                    continue
            for one in part:
                self._trouble(one.receipt, why, written=True)

    def _write(self, done: Sequence[Done]) -> Committed:
        result = self._committer.commit(done)
        while result.evaluate:
            evaluated = [one for work in result.evaluate for one in work()]
            more = self._committer.commit(evaluated)
            more.handed_off[:0] = result.handed_off
            result = more
        return result

    def _settled(self, done: Sequence[Done], result: Committed, *, again: bool) -> None:
        """What was written is done. After an earlier try (`again`) whose answer was lost, its successor may have been
        handed off to us without our knowing: then what led to it comes again, and has it sent.
        """
        origins: dict[tuple[AccountId, RunId], dict[Receipt, int]] = {}
        for one in done:
            receives = self._open.pop(one.receipt, None)
            led = self._origins.pop(one.receipt, ()) if receives is None else ((one.receipt, receives),)
            origins.setdefault((one.receipt.account, one.receipt.run), {}).update(led)
            if again and receives is None and not any(new.receipt.run == one.receipt.run for new in result.handed_off):
                self._open.update(led)
        for message in result.handed_off:
            receipt = message.receipt
            self._origins[receipt] = tuple(origins.get((receipt.account, receipt.run), {}).items())
            self._ready.append(Delivery(receipt, 1, leased=True))

    # -- trouble ------------------------------------------------------------------------------------------------

    def _came_to_nothing(self, task: Task, error: Exception) -> None:
        """A step met trouble while it was executed: give its claim back, so that it does not count as a death."""
        if task.claimed:
            receipt = task.receipt
            claim = (receipt.account, receipt.run, receipt.step, receipt.attempt)
            with suppress(Exception):  # then it is as if we had died, and the lease ends by itself
                self._runs.let_go([claim], self._terms.name)
        self._trouble(task.receipt, error)

    def _trouble(self, receipt: Receipt, error: Exception, *, written: bool = False) -> None:
        """The message has to come again. One that was handed off is sent; failing that, what led to it comes again.

        That comes in any case where the message may be `written` off already by a commit whose answer was lost: of what
        that commit handed off only what led to it can tell.
        """
        if not isinstance(error, StoreError):
            log.error("step %s of run %s: %s", receipt.step, receipt.run, type(error).__name__, exc_info=error)
        self._on_error(error)
        if receipt in self._open:
            return
        if written and receipt in self._origins:
            self._open.update(self._origins[receipt])
            return
        try:
            self._queue.release([receipt], self._clock.now() + self._settings.pause)
        except Exception as later:  # noqa: BLE001  # as above
            self._on_error(later)
            self._open.update(self._origins.get(receipt, ()))

    def _put_off(self) -> None:
        """Let what comes again do so soon, later each time: the queue hides it for as long as we might have taken."""
        due: dict[Millis, list[Receipt]] = {}
        for receipt, receives in self._open.items():
            pause = self._settings.pause * COME_AGAIN[min(max(receives, 1), len(COME_AGAIN)) - 1]
            due.setdefault(pause, []).append(receipt)
        for pause, receipts in due.items():
            until = self._clock.now() + int(pause * (1 + self._draws.fraction()) / 2)
            with suppress(Exception):  # then it stays hidden for longer
                self._queue.renew(receipts, self._terms.name, until)
