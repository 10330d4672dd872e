"""Hints that there is something to do (`ports.wakeups.Wakeups`), and the life of a backend."""

from __future__ import annotations

from queue import Empty, SimpleQueue

from flowrunner.ports.backend import Backend
from flowrunner.ports.wakeups import Topic

from tests.contracts.suites.build import NOW, claim, commit, message, receipt, report, run_row, start

PATIENCE = 120.0
"""Seconds after which a hint that did not come counts as lost. A test that passes does not wait that long."""


class WakeupRules:
    """Who is told, and when."""

    def test_what_makes_work_wakes(self, backend: Backend) -> None:
        """New runs, messages for anybody, given back ones, reports of steps, and ends of runs."""
        hints: SimpleQueue[Topic] = SimpleQueue()
        leave = backend.wakeups.listen(hints.put)
        backend.runs.create([run_row()], [message()])
        assert _wait_for(hints, {"queue", "runs"})
        backend.queue.send([message("2.0")])
        assert _wait_for(hints, {"queue"})
        backend.queue.release([receipt()], NOW)
        assert _wait_for(hints, {"queue"})
        backend.runs.commit([commit(send=[message("3.0")])])
        assert _wait_for(hints, {"queue"})
        backend.runs.claim([claim()])
        backend.runs.report([report()])
        assert _wait_for(hints, {"runs"})
        backend.runs.commit([commit(3, status="completed", ended_at=NOW)])
        assert _wait_for(hints, {"runs"})
        leave()

    def test_a_report_that_is_dropped_wakes_nobody(self, backend: Backend) -> None:
        """There is nothing new to read."""
        hints: SimpleQueue[Topic] = SimpleQueue()
        start(backend)
        backend.runs.claim([claim()])
        leave = backend.wakeups.listen(hints.put)
        if backend.capabilities.shared:  # it tells everybody to look when it begins to listen
            assert _wait_for(hints, {"queue", "runs"})
        backend.runs.report([report(owner="w2"), report("2.0")])
        backend.runs.report([])
        backend.queue.send([message()])
        assert hints.get(timeout=PATIENCE) == "queue"
        leave()

    def test_whoever_left_is_not_told(self, backend: Backend) -> None:
        """Leaving twice is no error, and others go on to be told."""
        gone: SimpleQueue[Topic] = SimpleQueue()
        there: SimpleQueue[Topic] = SimpleQueue()
        leave, leave_too = backend.wakeups.listen(gone.put), backend.wakeups.listen(there.put)
        leave()
        leave()
        _drain(gone)
        backend.queue.send([message()])
        assert _wait_for(there, {"queue"})
        assert _drain(gone) == []
        leave_too()

    def test_migrating_again_changes_nothing(self, backend: Backend) -> None:
        """It is done at every start."""
        start(backend)
        backend.migrate()
        assert backend.runs.create([run_row()], []) == [False]


def _wait_for(hints: SimpleQueue[Topic], topics: set[Topic]) -> bool:
    """Whether all of these come."""
    left = set(topics)
    try:
        while left:
            left.discard(hints.get(timeout=PATIENCE))
    except Empty:
        return False
    return True


def _drain(hints: SimpleQueue[Topic]) -> list[Topic]:
    found: list[Topic] = []
    while not hints.empty():
        found.append(hints.get())
    return found
