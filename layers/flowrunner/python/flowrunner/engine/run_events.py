"""The events of a run, derived from its rows: nothing is written twice for them.

Each has a stable id. Those of one attempt travel together when its outcome is committed, in the order of the commits
(`rev`), which is the reader's cursor: whoever comes back with the last `rev` it has seen gets everything later at
least once, and drops repeats by id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


def attempt_events(run: str, attempt: Attempt, *, retried: bool = False) -> Iterator[RunEvent]:
    """All events of one attempt, in order. `retried`: a failed one after which the policy tries again."""

    def event(kind: str, at: Millis, data: Json = None, part: str = "") -> RunEvent:
        identity = f"{attempt.step}:{attempt.attempt}:{part or kind.partition('.')[2]}"
        return RunEvent(identity, kind, run, at, attempt.label, attempt.node, attempt.attempt, data)

    yield event("step.scheduled", attempt.started_at)
    if attempt.status is not RowStatus.SKIPPED:
        yield event("step.started", attempt.started_at)
    for index, entry in enumerate(attempt.logs):
        data = {key: value for key, value in entry.items() if key != "at"}
        yield event("step.log", int(entry.get("at") or 0), data, f"log{index}")
    for index, entry in enumerate(attempt.events):
        data = {"name": entry["name"], "data": entry.get("data")}
        yield event("step.event", int(entry.get("at") or 0), data, f"event{index}")
    if attempt.wait is not None:
        data = {"until": attempt.wait.until or None, "data": attempt.wait.data}
        yield event("step.waiting", attempt.started_at, data)
    if attempt.status.final:
        kind = "step.retrying" if retried else ENDS[attempt.status]
        data = {"action": attempt.action, "error": attempt.error, "cached": attempt.cached}
        yield event(kind, attempt.ended_at, data)


def run_event(run: str, kind: str, at: Millis, attempt: int, data: Json = None) -> RunEvent:
    """An event of the run itself; `attempt` tells one life of the run from the next after a redrive."""
    return RunEvent(f"run:{attempt}:{kind}", kind, run, at, data=data)
