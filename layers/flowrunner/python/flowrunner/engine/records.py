"""What is written beside the head: the facts of a run, and the row of each attempt.

Both are JSON documents of short keys whose values the store does not look into. A reader finds in a row all that an
attempt did: when, how it ended, what it gave, logged and emitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from flowrunner.core.events import (
    ErrorFacts,
    Event,
    SignalReceived,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    StepWaiting,
)
from flowrunner.core.flow import DEFAULT, Json
from flowrunner.core.ids import Millis, NodeId, StepId
from flowrunner.core.json_text import packed
from flowrunner.core.state import item_index, step_label
from flowrunner.ports.runs import RowStatus, StepRow


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What never changes after a run was started. `input` is a stored value (see `values`)."""

    input: Json = None
    started_by: str = ""
    depth: int = 0
    parent: tuple[str, str, int] | None = None
    """Run, step and attempt that wait for this run's end."""
    labels: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        return packed(
            {
                "in": self.input,
                "by": self.started_by,
                "depth": self.depth,
                "parent": self.parent,
                "labels": dict(self.labels),
            }
        )

    @staticmethod
    def decode(body: bytes) -> RunFacts:
        document = orjson.loads(body)
        parent = document["parent"]
        return RunFacts(
            document["in"],
            document["by"],
            document["depth"],
            (parent[0], parent[1], parent[2]) if parent else None,
            document["labels"],
        )


@dataclass(frozen=True, slots=True)
class WaitFacts:
    """What a waiting step waits for, and what it gives when its timer ends the wait."""

    until: Millis = 0
    action: str = DEFAULT
    output: Json = None
    data: Json = None
    child: str | None = None
    at: Millis = 0
    """When the wait began, and how many log lines and events there were before it."""
    logs: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a step, as its row has it. Output and vars are stored values."""

    step: StepId
    attempt: int
    node: NodeId
    status: RowStatus
    n: int = 1
    parent: StepId | None = None
    via: str | None = None
    started_at: Millis = 0
    ended_at: Millis = 0
    action: str | None = None
    output: Json = None
    error: Mapping[str, Json] | None = None
    retryable: bool = False
    retry_after: Millis = 0
    retry_at: Millis = 0
    """Of a failed one: when the next attempt is due; 0 if there is none."""
    vars: Mapping[str, Json] = field(default_factory=dict)
    removed: Sequence[str] = ()
    secrets: Sequence[str] = ()
    logs: Sequence[Mapping[str, Json]] = ()
    events: Sequence[Mapping[str, Json]] = ()
    items: Sequence[Json] = ()
    """Of a foreach: its items as stored values, a page of them each."""
    wait: WaitFacts | None = None
    fallback: bool = False
    cached: bool = False
    rev: int = 0

    @property
    def label(self) -> str:
        return step_label(self.node, self.n, item_index(self.step))

    def row(self, rev: int) -> StepRow:
        """The row that records this attempt as taken by the commit of `rev`; 0 for one that no commit took."""
        return StepRow(self.step, self.attempt, self.node, self.status, rev, self.encode())

    def encode(self) -> bytes:
        document = {
            "n": self.n if self.n != 1 else None,
            "parent": self.parent,
            "via": self.via,
            "t0": self.started_at,
            "t1": self.ended_at,
            "action": self.action,
            "out": self.output,
            "err": self.error,
            "again": [self.retryable, self.retry_after] if self.retryable or self.retry_after else None,
            "next": self.retry_at,
            "vars": self.vars,
            "gone": self.removed,
            "secrets": self.secrets,
            "logs": self.logs,
            "events": self.events,
            "items": self.items,
            "wait": _wait(self.wait),
            "fb": self.fallback,
            "hit": self.cached,
        }
        return packed({key: value for key, value in document.items() if value})

    def event(self) -> Event:
        """The event that led to this row, for a commit that has to be made (again) from it.

        Raises `ValueError` for an attempt that is under way.
        """
        keys, removed, secrets = tuple(self.vars), tuple(self.removed), tuple(self.secrets)
        match self.status:
            case RowStatus.SUCCEEDED if self.wait is not None:
                return SignalReceived(self.step, self.attempt, self.action or DEFAULT, secrets=secrets)
            case RowStatus.SUCCEEDED:
                return StepSucceeded(self.step, self.attempt, self.action or DEFAULT, keys, removed, secrets)
            case RowStatus.SKIPPED:
                return StepSkipped(self.step, self.attempt)
            case RowStatus.FAILED if self.wait is not None:
                return SignalReceived(self.step, self.attempt, error=self.failure(), secrets=secrets)
            case RowStatus.FAILED:
                return StepFailed(self.step, self.attempt, self.failure(), secrets)
            case RowStatus.WAITING if self.wait is not None:
                return StepWaiting(self.step, self.attempt, self.wait.until, self.wait.child, secrets)
            case _:
                raise ValueError(f"step {self.step} has not ended: {self.status}")

    def failure(self) -> ErrorFacts:
        """The error as the retry policy sees it."""
        error: Mapping[str, Any] = self.error or {}
        return ErrorFacts(
            str(error.get("code", "STEP_FAILED")),
            str(error.get("message", "")),
            self.retryable,
            self.retry_after,
            error.get("details"),
        )


def read_attempt(row: StepRow) -> Attempt:
    """The attempt that a row records."""
    document = orjson.loads(row.body) if row.body else {}
    get = document.get
    retryable, retry_after = get("again") or (False, 0)
    wait = get("wait")
    return Attempt(
        step=row.step,
        attempt=row.attempt,
        node=row.node,
        status=row.status,
        n=get("n", 1),
        parent=get("parent"),
        via=get("via"),
        started_at=get("t0", 0),
        ended_at=get("t1", 0),
        action=get("action"),
        output=get("out"),
        error=get("err"),
        retryable=retryable,
        retry_after=retry_after,
        retry_at=get("next", 0),
        vars=get("vars", {}),
        removed=get("gone", ()),
        secrets=get("secrets", ()),
        logs=get("logs", ()),
        events=get("events", ()),
        items=get("items", ()),
        wait=WaitFacts(*wait) if wait else None,
        fallback=get("fb", False),
        cached=get("hit", False),
        rev=row.rev,
    )


def _wait(wait: WaitFacts | None) -> Json:
    if wait is None:
        return None
    return [wait.until, wait.action, wait.output, wait.data, wait.child, wait.at, wait.logs, wait.events]
