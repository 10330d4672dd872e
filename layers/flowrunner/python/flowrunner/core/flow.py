"""The compiled flow: what the loader makes of a document and the engine runs.

Everything is plain, frozen data. Expressions and hooks are kept as their source text: the core never evaluates
them; the engine compiles them once per revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from flowrunner.core.ids import Millis, NodeId

DEFAULT = "default"
ERROR = "error"
SKIPPED = "skipped"

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""


class JoinMode(StrEnum):
    """When a join runs once all of its needed nodes are done or can no longer run (flow language, "Joins")."""

    ALL = "all"
    ANY = "any"
    SETTLED = "settled"


class OnError(StrEnum):
    """What an unhandled failure does."""

    FAIL = "fail"  # nodes: follow `next.error`, else what the flow says
    STOP = "stop"  # flows: the run fails
    CONTINUE = "continue"  # the run goes on along `default` with output null
    RETRY_RUN = "retry_run"  # flows: the whole run starts again


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how late a failed attempt is repeated; `max_attempts` counts the first try."""

    max_attempts: int = 1
    delay: Millis = 1_000
    backoff: float = 2.0
    max_delay: Millis = 300_000
    jitter: Literal["none", "full"] = "full"
    on: tuple[str, ...] = ()
    """Error codes that are retried (`HttpStatus:5xx` matches a class); empty: every retryable error."""


@dataclass(frozen=True, slots=True)
class Foreach:
    """Runs the node once per item. `tolerate` is a count, or a share of the items when `tolerate_percent`."""

    items: Json
    alias: str = "item"
    max_concurrency: int = 10
    tolerate: float = 0
    tolerate_percent: bool = False

    def tolerated(self, count: int) -> int:
        """How many of `count` items may fail."""
        return int(count * self.tolerate / 100) if self.tolerate_percent else int(self.tolerate)


@dataclass(frozen=True, slots=True)
class Join:
    """Dependency edges into a node."""

    needs: tuple[NodeId, ...]
    mode: JoinMode = JoinMode.ALL


@dataclass(frozen=True, slots=True)
class Hook:
    """JavaScript of a hook with the place of its first line in the document (1-based)."""

    source: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Cache:
    """A hit on `key` within `ttl` skips execution."""

    key: Json
    ttl: Millis


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a flow. `next` maps an action to its targets, in the order written."""

    id: NodeId
    type: str
    params: Json = field(default_factory=dict)
    next: Mapping[str, tuple[NodeId, ...]] = field(default_factory=dict)
    join: Join | None = None
    inputs: Mapping[str, Json] = field(default_factory=dict)
    when: Json = None
    foreach: Foreach | None = None
    retry: RetryPolicy = RetryPolicy()
    at_most_once: bool = False
    timeout: Millis | None = None
    on_error: OnError = OnError.FAIL
    has_fallback: bool = False
    fallback: Json = None
    hooks: Mapping[str, Hook] = field(default_factory=dict)
    cache: Cache | None = None
    egress: tuple[str, ...] | None = None
    name: str | None = None
    description: str | None = None
    ui: Mapping[str, float] | None = None
    line: int = 1


@dataclass(frozen=True, slots=True)
class FlowLimits:
    """Guard rails of one run."""

    max_parallel: int = 10
    max_steps: int = 10_000


@dataclass(frozen=True, slots=True)
class RunConcurrency:
    """How many runs may be live at once for one value of `key`."""

    max_runs: int
    key: Json = None
    on_limit: Literal["queue", "reject", "cancel_oldest"] = "queue"


@dataclass(frozen=True, slots=True)
class Flow:
    """A whole flow. `start` holds the first nodes; every other field is as in the document."""

    name: str
    nodes: Mapping[NodeId, Node]
    start: tuple[NodeId, ...]
    description: str | None = None
    version: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    inputs: Json = None
    outputs: Mapping[str, Json] | None = None
    on_error: OnError = OnError.STOP
    retry_run: RetryPolicy = RetryPolicy()
    timeout: Millis | None = None
    limits: FlowLimits = FlowLimits()
    concurrency: RunConcurrency | None = None
    priority: Literal["high", "normal", "low"] = "normal"
    egress: tuple[str, ...] | None = None
    mode: Literal["standard", "express"] = "standard"
    triggers: tuple[Mapping[str, Json], ...] = ()
    webhooks: tuple[Mapping[str, Json], ...] = ()
