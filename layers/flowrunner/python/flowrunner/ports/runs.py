"""Run state: the write protocol of a run. (Reading it is `ports.history`.)

A run is one *head* (a small document that one conditional write moves from revision to revision) and one row per
attempt of a step. The engine owns what is inside the documents; a store sees opaque bytes and the few columns below.

The rules every adapter keeps, and the contract suite tests:

- A commit is applied whole or not at all, and only if the head's `rev` is the expected one. Commits of different
  runs given in one call are independent of each other; grouping them is the adapter's way to be fast.
- A final step row is never changed: a later write to it is dropped without an error, but for one thing: a `rev` of 0
  (the result of a step that no commit had taken yet) is set to the later write's `rev`.
- A commit that sets `ended_at` removes all other messages of the run from the queue.
- What a commit sends is in the queue, and what it acknowledges is gone from it, exactly if the commit was applied.
  (An adapter without transactions writes in the order steps, head, sends, acks; the engine repeats what a crash
  left undone.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from flowrunner.core.ids import AccountId, FlowId, Millis, NodeId, RunId, StepId
from flowrunner.ports.queue import Message, Receipt


class RowStatus(StrEnum):
    """The status of one attempt as its row has it."""

    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def final(self) -> bool:
        return self not in (RowStatus.RUNNING, RowStatus.WAITING)


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as stored. `body` holds what never changes after the start; `result` is written when the run ends."""

    account: AccountId
    id: RunId
    flow: FlowId
    revision: int
    flow_name: str
    priority: int
    """0 is taken first, 2 last."""
    created_at: Millis
    body: bytes
    rev: int
    status: str
    head: bytes
    result: bytes | None = None
    ended_at: Millis | None = None


@dataclass(frozen=True, slots=True)
class StepRow:
    """One attempt of a step. `rev` is the head revision whose commit took its outcome; 0 while there is none."""

    step: StepId
    attempt: int
    node: NodeId
    status: RowStatus
    rev: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """One conditional write to a run.

    `head` is None when the state had no use for what happened (the late result of a run that is over): rows and acks
    are written then whatever the revision is. With `owner` the
    messages in `hand_off` are put into the queue already leased to it until `lease_until`, which saves receiving
    them; should the owner die, they become visible like any lapsed lease.
    """

    account: AccountId
    run: RunId
    expected_rev: int
    rev: int
    head: bytes | None
    status: str
    steps: Sequence[StepRow] = ()
    send: Sequence[Message] = ()
    hand_off: Sequence[Message] = ()
    ack: Sequence[Receipt] = ()
    owner: str = ""
    lease_until: Millis = 0
    result: bytes | None = None
    ended_at: Millis | None = None
    reopened: bool = False
    """A redrive: `ended_at` and `result` are cleared."""
    revision: int | None = None
    """The revision of the flow that the run goes on with, if it is another one."""
    look_at: Millis | None = None
    """When a store whose queue may lose messages has to look whether the run has moved on; None for not any more."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A wish to execute an attempt that has effects outside the run."""

    account: AccountId
    run: RunId
    step: StepId
    attempt: int
    node: NodeId
    owner: str
    now: Millis
    lease_until: Millis
    body: bytes
    at_most_once: bool = False


class ClaimStatus(StrEnum):
    """The answer to a claim."""

    GRANTED = "granted"
    HELD = "held"  # another owner's lease is alive, or the attempt was executed and waits
    DONE = "done"  # the row is final
    LAPSED = "lapsed"  # it was claimed before, the lease is over, and it is at_most_once: not granted
    OVER = "over"  # the run is over, or there is none


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """`claims` counts the claims of this attempt, this one included; `row` is given when DONE."""

    status: ClaimStatus
    claims: int = 0
    lease_until: Millis = 0
    row: StepRow | None = None


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step under way has to tell so far: the whole new body of its row."""

    account: AccountId
    run: RunId
    step: StepId
    attempt: int
    owner: str
    body: bytes


class RunStore(Protocol):
    """The write protocol."""

    def create(
        self, runs: Sequence[RunRow], messages: Sequence[Message], *, owner: str = "", lease_until: Millis = 0
    ) -> Sequence[bool]:
        """Store new runs with their first messages; False for a run whose id exists (nothing of it is written).

        `messages` belong to the runs by their `run`; those of a run that exists are not sent. With `owner` those that
        are due by the run's `created_at` are handed off to it, as in `Commit`.
        """
        ...

    def load(self, keys: Sequence[tuple[AccountId, RunId]]) -> Sequence[RunRow | None]:
        """The newest committed state of each run (a consistent read)."""
        ...

    def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        """Take attempts for execution. Granted if there is no row, or it is running and its lease is over.

        A claim whose owner already holds the lease is granted again without counting (a lost answer). A waiting row
        is HELD: it was executed, and whoever claims it saw an older head. OVER when the
        run's status is terminal, so that no effect starts after a cancel was answered.
        """
        ...

    def renew(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str, lease_until: Millis) -> None:
        """Prolong leases that `owner` still holds; others are left alone."""
        ...

    def let_go(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str) -> None:
        """Give back leases that `owner` still holds, as if they had never been claimed: they count no more."""
        ...

    def commit(self, commits: Sequence[Commit]) -> Sequence[bool]:
        """Apply each commit whose `expected_rev` is the run's; False for those that lost a race."""
        ...

    def report(self, reports: Sequence[StepReport]) -> None:
        """Replace the bodies of rows that are running under a claim of `owner`; all others are dropped silently.

        The last report of an attempt counts. Whoever listens to `runs` is told if a row was changed.
        """
        ...
