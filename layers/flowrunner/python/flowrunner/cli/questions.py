"""What waits for a decision of the person at the terminal: in a run, and in the runs that it waits for."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from flowrunner.core.ids import RunId
from flowrunner.engine.watch import Change
from flowrunner.ports.runs import RowStatus


@dataclass(frozen=True, slots=True)
class Question:
    """A step that waits to be approved; `message` is what it asks."""

    run: RunId
    step: str
    label: str
    message: str


class Questions:
    """Gathers them from the changes of all runs of this process."""

    def __init__(self, run: RunId) -> None:
        self._runs = {run}
        self._open: dict[tuple[RunId, str], Question] = {}
        self._lock = threading.Lock()

    def change(self, change: Change) -> None:
        """Take a change of any run; called from the worker's threads."""
        run, parent = change.run, change.view.facts.parent
        with self._lock:
            if run not in self._runs:
                if parent is None or RunId(parent[0]) not in self._runs:
                    return
                self._runs.add(run)
            for attempt in change.attempts:
                data = attempt.wait.data if attempt.wait is not None else None
                key = (run, str(attempt.step))
                self._open.pop(key, None)
                if attempt.status is RowStatus.WAITING and isinstance(data, dict) and data.get("message"):
                    self._open[key] = Question(run, str(attempt.step), attempt.label, str(data["message"]))
            if change.ended:
                self._open = {key: one for key, one in self._open.items() if key[0] != run}

    def waiting(self) -> list[Question]:
        """Those without an answer, in the order in which they came."""
        with self._lock:
            return list(self._open.values())
