"""Observers of runs inside this process: the live view of the CLI, and whoever waits for a run's end.

Other processes learn of changes by the backend's wakeups and read the store; this is the short way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from flowrunner.core.commands import ScheduleStep
from flowrunner.core.ids import RunId, StepId
from flowrunner.core.state import State
from flowrunner.engine.records import Attempt


@dataclass(frozen=True, slots=True)
class Change:
    """One commit of a run: the state after it, the attempts that ended with it, the steps that it scheduled."""

    run: RunId
    state: State
    attempts: Sequence[Attempt] = ()
    scheduled: Sequence[ScheduleStep] = ()
    started: StepId | None = None
    """Set, with the rest as before, when the execution of a step begins."""
    ended: bool = False


Watcher = Callable[[Change], None]


class Watchers:
    """Who watches which run. Callbacks come from the worker's thread and must be quick."""

    def __init__(self) -> None:
        self._watchers: dict[RunId, list[Watcher]] = {}
        self._lock = Lock()

    def watch(self, run: RunId, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` for each change of `run`; the answer ends that."""
        with self._lock:
            self._watchers.setdefault(run, []).append(watcher)

        def leave() -> None:
            with self._lock:
                rest = [other for other in self._watchers.get(run, ()) if other is not watcher]
                if rest:
                    self._watchers[run] = rest
                else:
                    self._watchers.pop(run, None)

        return leave

    def watched(self, run: RunId) -> bool:
        return run in self._watchers

    def tell(self, change: Change) -> None:
        for watcher in list(self._watchers.get(change.run, ())):
            watcher(change)
