"""What steps say while they are under way: told to watchers at once, and written for other processes twice a second.

Nothing depends on it: all of it is in the row that is committed when the step ends. So a report that is lost is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowrunner.core.ids import Millis
from flowrunner.engine.flights import FAR_AWAY, Flight, Flights
from flowrunner.engine.services import Services
from flowrunner.engine.watch import Change, Watchers
from flowrunner.ports.runs import StepReport

TELL_EVERY: Millis = 50
WRITE_EVERY: Millis = 500


class Reports:
    """Reports the flights of one worker. All methods but `heard` belong to the worker's thread."""

    def __init__(self, services: Services, watchers: Watchers, owner: str, wake: Callable[[], None]) -> None:
        self._runs = services.backend.runs
        self._clock = services.clock
        self._watchers = watchers
        self._owner = owner
        self._wake = wake
        self._quiet = True
        self._last: Millis = 0
        self.next: Millis = FAR_AWAY
        """When there is something to do."""

    def heard(self) -> None:
        """Some flight has said something: wake the worker, once until the next round. From any thread."""
        if self._quiet:
            self._quiet = False
            self._wake()

    def woken(self) -> None:
        """The worker has woken for what was heard."""
        self.next = min(self.next, self._last + TELL_EVERY)

    def round(self, flights: Flights) -> None:
        """Tell and write what is new, if it is time."""
        if self.next == FAR_AWAY or (now := self._clock.now()) < self.next:
            return
        self._last, self.next = now, FAR_AWAY
        self._quiet = True  # before anything is counted: what is said from here on is heard anew
        due: list[Flight] = []
        for flight in flights.talking():
            self._tell(flight)
            if flight.task.claimed and flight.task.execution.entries.count > flight.written:
                if now - flight.written_at >= WRITE_EVERY:
                    due.append(flight)
                else:
                    self.next = min(self.next, flight.written_at + WRITE_EVERY)
        if due:
            self._write(due, now)

    def _tell(self, flight: Flight) -> None:
        job = flight.task.job
        count = flight.task.execution.entries.count
        if count > flight.told and self._watchers.followed(job.view.row.id):
            self._watchers.tell(Change(job.view, job.state, under_way=flight.task.execution.under_way()))
        flight.told = count

    def _write(self, flights: Sequence[Flight], now: Millis) -> None:
        self._runs.report([report_of(flight, self._owner, now) for flight in flights])


def report_of(flight: Flight, owner: str, now: Millis) -> StepReport:
    """All that a flight has said so far, taken as written."""
    receipt, execution = flight.task.receipt, flight.task.execution
    flight.written, flight.written_at = execution.entries.count, now
    body = execution.under_way().encode()
    return StepReport(receipt.account, receipt.run, receipt.step, receipt.attempt, owner, body)
