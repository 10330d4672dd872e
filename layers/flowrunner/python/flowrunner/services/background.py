"""Work that nobody asks for: sweeps, senders, flushers, each in a thread of its own.

A round may be run by several processes at once and any number of times; what must happen once is the round's own
business (conditional writes). A round that fails is logged and comes again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowrunner.core.ids import Millis
from flowrunner.ports.clock import Clock

log = logging.getLogger("flowrunner.background")

MAX_FAILURES = 6


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of work. `round` does what is due; an integer that it answers is the moment (ms) to come back.

    It comes back after `interval` ms at the latest, and at once when `Background.wake(name)` is called.
    """

    name: str
    interval: Millis
    round: Callable[[], object]
    at_stop: bool = False
    """Run once more when the process stops: for what is kept in memory."""


class Background:
    """The tasks of one process."""

    def __init__(self, clock: Clock, tasks: Sequence[Task]) -> None:
        self._clock = clock
        self._tasks = tuple(tasks)
        self._wakes = {task.name: threading.Event() for task in self._tasks}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def tasks(self) -> Sequence[Task]:
        """For whoever runs them by themselves."""
        return self._tasks

    def start(self) -> None:
        """Begin all tasks. They end with `stop`."""
        for task in self._tasks:
            thread = threading.Thread(target=self._serve, args=(task,), name=f"background-{task.name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self, name: str) -> None:
        """There is something to do; from any thread."""
        self._wakes[name].set()

    def stop(self, seconds: float = 10.0) -> None:
        """End all tasks after the rounds under way."""
        self._stopping.set()
        for event in self._wakes.values():
            event.set()
        deadline = self._clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        if not self._threads:  # never begun: what was kept in memory is stored all the same
            for task in self._tasks:
                if task.at_stop:
                    self._last(task)
        self._threads.clear()

    def run_once(self) -> None:
        """One round of every task in the caller's thread: for tests that turn the clock."""
        for task in self._tasks:
            task.round()

    def _serve(self, task: Task) -> None:
        wake = self._wakes[task.name]
        failures = 0
        while not self._stopping.is_set():
            pause = task.interval
            try:
                back = task.round()
                failures = 0
                if isinstance(back, int):
                    pause = max(0, min(pause, back - self._clock.now()))
            except Exception:  # a thread that ended here would never serve its task again
                failures = min(failures + 1, MAX_FAILURES)
                pause = max(pause, 250 * 2**failures)
                log.exception("a round of %s failed; it comes again in %s ms", task.name, pause)
            wake.wait(pause / 1000)
            wake.clear()
        if task.at_stop:
            self._last(task)

    def _last(self, task: Task) -> None:
        try:
            task.round()
        except Exception:  # the process ends all the same
            log.exception("the last round of %s failed", task.name)
