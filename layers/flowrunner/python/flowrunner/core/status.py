"""The statuses of runs and the transitions between them: the one table that may know.

```
            grant                    frontier empty
  queued ──────────▶ running ───────────────────────▶ completed
     │                │  ▲ │ unhandled failure, deadline
     │ cancel         │  │ └────────────────────────▶ failed
     ▼                │  └──────── redrive ─────────── failed, cancelled, completed
  cancelled ◀─────────┘ cancel
```

A run whose every step waits (for a timer, a signal, a child) is shown as `waiting`; that is a view of `running`, not
a status of its own, since it changes with every step and nothing depends on it.
"""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """The status of a run as its head has it."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Terminal: no step starts any more."""
        return self in _OVER


_OVER = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})

WAITING = "waiting"
"""How a running run is shown whose every step waits."""

TERMINAL = frozenset(status.value for status in _OVER)

LIVE = (RunStatus.QUEUED.value, RunStatus.RUNNING.value, WAITING)
"""How a run may be shown that has not ended."""

TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.FAILED}),
    RunStatus.RUNNING: frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.COMPLETED: frozenset({RunStatus.RUNNING}),
    RunStatus.FAILED: frozenset({RunStatus.RUNNING}),
    RunStatus.CANCELLED: frozenset({RunStatus.RUNNING}),
}


class StepStatus(StrEnum):
    """How a step ended, as joins and `nodes.<id>.status` see it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
