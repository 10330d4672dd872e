"""What the engine works with, put together once by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from flowrunner.core.ids import AccountId
from flowrunner.engine.history import StepReader
from flowrunner.engine.run_secrets import RunSecrets
from flowrunner.engine.seals import NOTHING, Known, Opened, Seals
from flowrunner.engine.values import Values
from flowrunner.nodes.base import ChildRuns
from flowrunner.nodes.registry import Registry
from flowrunner.ports.backend import Backend
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.dialer import Dialer
from flowrunner.ports.http import HttpClient
from flowrunner.ports.runs import RunRow
from flowrunner.ports.secrets import Secrets
from flowrunner.sandbox.evaluator import Sandbox


@dataclass(frozen=True, slots=True)
class ParentStep:
    """The step that starts a child run."""

    account: AccountId
    run: str
    step: str
    attempt: int
    depth: int
    known: Known = NOTHING
    """The secrets that its run has read: the child's input may hold them."""


class Children(Protocol):
    """Starting child runs and reading what became of them."""

    def ended(self, account: AccountId, run: str) -> bool:
        """Whether the child run is over (or gone)."""
        ...

    def of(self, parent: ParentStep) -> ChildRuns: ...

    def output(self, account: AccountId, run: str) -> Opened:
        """The output of a child run that completed. Raises `StepError` (`CHILD_FAILED`) for one that did not."""
        ...


@dataclass(slots=True)
class Services:
    """The collaborators of an execution."""

    backend: Backend
    registry: Registry
    sandbox: Sandbox
    secrets: Secrets
    http: HttpClient
    clock: Clock
    draws: Draws
    values: Values
    seals: Seals
    run_secrets: RunSecrets
    reader: StepReader
    children: Children
    public_url: str | None = None
    dialer: Dialer | None = None
    programs_allowed: bool = False
    """Whether steps may start programs on this machine (MCP servers over stdio)."""
    before_start: list[Callable[[Sequence[RunRow]], None]] = field(default_factory=list)
    """Called with runs that are about to be stored, or reopened by a redrive (then as they are, with `ended_at`).

    What one writes is there before the run goes on, so that a crash loses neither; what one raises stops the start.
    A run that is announced may never come to be, and an existing one may be announced again.
    """

    may_execute: Callable[[AccountId, str], bool] = lambda account, node_type: True
    """Whether nodes of a type may execute for an account: plugins can be disabled."""

    admit_child: Callable[[AccountId], None] = lambda account: None
    """Called before a step starts a run. Raises `QuotaExceeded` when the account's flows start far too many."""

    def announce(self, *rows: RunRow) -> None:
        for observer in self.before_start:
            observer(rows)
