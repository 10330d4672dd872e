"""Observers of runs inside this process: the live view of the CLI, whoever waits for a run's end, metering, metrics.

Other processes learn of changes by the backend's wakeups and read the store; this is the short way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from flowrunner.core.commands import ScheduleStep
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.core.state import State
from flowrunner.engine.outcome import RunView
from flowrunner.engine.records import Attempt

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """One commit of a run: the state after it, the attempts that ended with it, the steps that it scheduled.

    `view` is the run as it was before (for a new run, as it is). An attempt with `rev` 0 came too late for its run: it
    is recorded, and told again with its `rev` if a redrive takes it.
    """

    view: RunView
    state: State
    attempts: Sequence[Attempt] = ()
    scheduled: Sequence[ScheduleStep] = ()
    started: StepId | None = None
    """Set, with the rest as before, when the execution of a step begins."""
    under_way: Attempt | None = None
    """For who watches this very run: a step under way, with all that it has said so far. Nothing was committed."""
    ended: bool = False
    created: bool = False
    """The run is new: this process has stored it just now."""
    at: Millis = 0
    """When it was committed."""

    @property
    def run(self) -> RunId:
        return self.view.row.id

    @property
    def account(self) -> AccountId:
        return self.view.row.account


Watcher = Callable[[Change], None]


class Watchers:
    """Who watches which run. Callbacks come from the threads of workers and callers, and must be quick."""

    def __init__(self) -> None:
        self._watchers: dict[RunId, list[Watcher]] = {}
        self._all: tuple[Watcher, ...] = ()
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

    def watch_all(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` for each change of every run, of all accounts; the answer ends that.

        Such observers stay as long as the process: what one raises is logged and harms neither run nor worker.
        """
        with self._lock:
            self._all = (*self._all, watcher)

        def leave() -> None:
            with self._lock:
                self._all = tuple(other for other in self._all if other is not watcher)

        return leave

    def watched(self, run: RunId) -> bool:
        return bool(self._all) or run in self._watchers

    def followed(self, run: RunId) -> bool:
        """Whether somebody watches this very run."""
        return run in self._watchers

    def tell(self, change: Change) -> None:
        for watcher in list(self._watchers.get(change.run, ())):
            watcher(change)
        if change.under_way is not None and change.started is None:
            return
        for watcher in self._all:
            try:
                watcher(change)
            except Exception:  # noqa: BLE001  # whatever an observer raises is its own trouble, and is logged
                _log.exception("an observer of runs failed")
