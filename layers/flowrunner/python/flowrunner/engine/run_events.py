"""The events of a run, derived from its rows: nothing is written twice for them.

Each has a stable id. Those of one attempt travel together when its outcome is committed, in the order of the commits
(`rev`); what a step says while it is under way is told before that, under the same ids. Whoever comes back gets
everything later at least once, and drops repeats by id.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.engine.records import Attempt
from flowrunner.ports.runs import RowStatus


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that people watch. `type` is one of the names in docs/how-a-run-executes.md, "Events"."""

    id: str
    type: str
    run_id: str
    at: Millis
    step_id: str | None = None
    node: str | None = None
    attempt: int | None = None
    data: Json = None

    def document(self) -> dict[str, Json]:
        """As JSON, without what it does not have."""
        values: dict[str, Json] = {
            "id": self.id,
            "type": self.type,
            "run_id": self.run_id,
            "at": self.at,
            "step_id": self.step_id,
            "node": self.node,
            "attempt": self.attempt,
            "data": self.data,
        }
        return {key: value for key, value in values.items() if value is not None}


ENDS = {RowStatus.SUCCEEDED: "step.succeeded", RowStatus.FAILED: "step.failed", RowStatus.SKIPPED: "step.skipped"}


@dataclass(slots=True)
class Told:
    """How much of an attempt a reader has been told."""

    began: bool = False
    logs: int = 0
    events: int = 0
    waits: bool = False


def attempt_events(run: str, attempt: Attempt, told: Told | None = None) -> Iterator[RunEvent]:
    """The events of one attempt in order; with `told` only those that are new, which are noted in it.

    Log lines and events are in the order of their times, each kind in the order in which it was made.
    """
    told = told or Told()
    identity = f"{attempt.step}:{attempt.attempt}:"

    def event(kind: str, part: str, at: Millis, data: Json = None) -> RunEvent:
        return RunEvent(identity + part, kind, run, at, attempt.label, attempt.node, attempt.attempt, data)

    if not told.began:
        told.began = True
        yield event("step.scheduled", "scheduled", attempt.started_at)
        if attempt.status is not RowStatus.SKIPPED:
            yield event("step.started", "started", attempt.started_at)
    wait = attempt.wait
    if wait is not None and not told.waits:
        yield from _entries(attempt, told, event, wait.logs, wait.events)
        told.waits = True
        data = {"until": wait.until or None, "data": wait.data}
        yield event("step.waiting", "waiting", wait.at or attempt.started_at, data)
    yield from _entries(attempt, told, event, len(attempt.logs), len(attempt.events))
    if attempt.status.final:
        kind = "step.retrying" if attempt.retry_at else ENDS[attempt.status]
        end: dict[str, Json] = {"action": attempt.action, "error": attempt.error, "cached": attempt.cached}
        if attempt.retry_at:
            end["retry_at"] = attempt.retry_at
        yield event(kind, kind.partition(".")[2], attempt.ended_at, end)


def _entries(
    attempt: Attempt, told: Told, event: Callable[[str, str, Millis, Json], RunEvent], logs: int, events: int
) -> Iterator[RunEvent]:
    """Log lines and custom events up to these numbers of them."""
    lines = [(int(attempt.logs[index].get("at") or 0), 0, index) for index in range(told.logs, logs)]
    customs = [(int(attempt.events[index].get("at") or 0), 1, index) for index in range(told.events, events)]
    for at, which, index in heapq.merge(lines, customs, key=itemgetter(0)):
        if which == 0:
            line = attempt.logs[index]
            yield event("step.log", f"log{index}", at, {key: line[key] for key in line if key != "at"})
        else:
            custom = attempt.events[index]
            yield event("step.event", f"event{index}", at, {"name": custom["name"], "data": custom.get("data")})
    told.logs, told.events = max(told.logs, logs), max(told.events, events)


def run_event(run: str, kind: str, at: Millis, attempt: int, data: Json = None) -> RunEvent:
    """An event of the run itself; `attempt` tells one life of the run from the next after a redrive."""
    return RunEvent(f"run:{attempt}:{kind}", kind, run, at, data=data)
