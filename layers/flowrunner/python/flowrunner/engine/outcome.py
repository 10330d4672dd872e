"""What became of an execution: the event for the core and the row for the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowrunner.core.events import ErrorFacts, Event
from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.core.state import Entry, State
from flowrunner.engine.program import NodeProgram, Program
from flowrunner.engine.records import Attempt, RunFacts
from flowrunner.errors import FlowrunnerError, NodeCrashed, StepError
from flowrunner.ports.runs import RowStatus, RunRow


@dataclass(slots=True)
class RunView:
    """A run as one process knows it: the row as last read or written, decoded."""

    row: RunRow
    facts: RunFacts
    state: State
    program: Program


@dataclass(slots=True)
class Job:
    """One attempt to execute. `deadline` is the moment at which it is given up."""

    view: RunView
    state: State
    step: Any
    entry: Entry
    node: NodeProgram
    started_at: Millis
    deadline: Millis
    limit: str = ""
    """Why the deadline is earlier than the node's own timeout, for whoever reads that it has passed."""
    patient: bool = True
    """Trouble with the store or the keys is raised: the step comes again, and is not failed for that."""
    cancelled: bool = False
    given_up: int | None = None
    """The thread that executed it beyond its deadline and may touch nothing any more."""
    answer: Mapping[str, Json] | None = None
    """For a step that waited: what ended the wait (`{"payload": …}`, `{"child": run id}` or `{"timer": true}`)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a job. `attempt` is the row to write; `event` is what the core is told."""

    event: Event
    attempt: Attempt


def attempt_of(
    job: Job,
    waited: Attempt | None,
    status: RowStatus,
    said: tuple[Sequence[Any], Sequence[Any]],
    ended_at: Millis,
    secrets: Sequence[str],
) -> Attempt:
    """The attempt that a job is, with its log lines and events; `waited` is its row from before it waited."""
    entry = job.entry
    logs, events = said
    return Attempt(
        step=job.step,
        attempt=entry.attempt,
        node=entry.node,
        status=status,
        n=entry.n,
        parent=entry.parent,
        via=entry.via,
        started_at=waited.started_at if waited else job.started_at,
        ended_at=ended_at,
        secrets=secrets,
        logs=[*(waited.logs if waited else ()), *logs],
        events=[*(waited.events if waited else ()), *events],
        wait=waited.wait if waited else None,
    )


def facts_of(error: BaseException) -> ErrorFacts:
    """An exception as the core's policies see it."""
    if isinstance(error, StepError):
        retry_after = int(error.retry_after * 1000) if error.retry_after else 0
        return ErrorFacts(error.code, str(error), error.retryable, retry_after, error.details)
    if isinstance(error, FlowrunnerError):
        return ErrorFacts(error.code, str(error), False, 0, error.details)
    kind = type(error).__name__
    return ErrorFacts(NodeCrashed.code, f"{kind}: {error}", False, 0, {"type": kind})


def crashed(error: Exception) -> NodeCrashed:
    """An error that the node does not document, as that of its step."""
    return NodeCrashed(f"{type(error).__name__}: {error}", type=type(error).__name__)
