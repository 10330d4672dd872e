"""A backend: one home for runs, with all that the engine needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.ids import AccountId
from flowrunner.ports.blobs import Blobs
from flowrunner.ports.callbacks import Callbacks
from flowrunner.ports.documents import Documents
from flowrunner.ports.entities import Entities
from flowrunner.ports.flows import Flows
from flowrunner.ports.history import RunHistory
from flowrunner.ports.kv import KeyValues
from flowrunner.ports.queue import WorkQueue
from flowrunner.ports.runs import RunStore
from flowrunner.ports.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What backends differ in; declared, and asked for at start-up, never found out by trying."""

    durable: bool
    """Survives the death of the process."""
    shared: bool
    """Several worker processes may serve it at once, also from other machines."""
    lagging_lists: bool = False
    """Lists, counts and what is due are read from indexes that follow a write within moments.

    What they show is as it is now; something new may be missing. Everything read by its name is up to date.
    """
    exact_queue: bool = True
    """The queue keeps priorities and the order of due times to the millisecond, knows a message sent twice, and counts.

    One that is not exact delivers what is due within moments and seconds, sometimes twice, in any order.
    """
    turns: bool = True
    """The queue can give of each account in turn. One that cannot gives nothing when it is asked to."""


class Backend(Protocol):
    """The stores of one home. All of them are safe for use from several threads."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def runs(self) -> RunStore: ...

    @property
    def history(self) -> RunHistory: ...

    @property
    def queue(self) -> WorkQueue: ...

    @property
    def flows(self) -> Flows: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def values(self) -> KeyValues: ...

    @property
    def callbacks(self) -> Callbacks: ...

    @property
    def documents(self) -> Documents: ...

    @property
    def entities(self) -> Entities: ...

    @property
    def wakeups(self) -> Wakeups: ...

    def migrate(self) -> None:
        """Bring the schema to this version; safe to call at every start and from several processes at once.

        Raises `ConfigurationError` when the stored schema is newer than this program.
        """
        ...

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        """Remove up to `limit` things of an account from all of its stores; returns how many, 0 when nothing is left.

        Runs go first, each with everything that belongs to it, and entities last. What is written meanwhile may need
        another call: whoever ends an account lets nobody in any more before that.
        """
        ...

    def close(self) -> None: ...
