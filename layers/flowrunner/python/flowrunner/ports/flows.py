"""Flow documents by revision, kept for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.ids import AccountId, FlowId, Millis


@dataclass(frozen=True, slots=True)
class FlowRow:
    """One revision of a flow, kept for ever."""

    account: AccountId
    id: FlowId
    name: str
    revision: int
    document: str
    hash: str
    """SHA-256 of the document, hex."""
    created_at: Millis


class Flows(Protocol):
    """Flow documents by revision."""

    def save(self, row: FlowRow) -> FlowRow:
        """Store a document under `row.name`.

        The id of an existing flow of that name is kept and the next revision number given; a document with the
        newest revision's hash stores nothing and answers that revision. `row.id` is used for a new name only.
        """
        ...

    def get(self, account: AccountId, flow: FlowId, revision: int | None = None) -> FlowRow | None:
        """A revision, or the newest."""
        ...

    def find(self, account: AccountId, name: str) -> FlowRow | None:
        """The newest revision of the flow called `name`."""
        ...

    def list(self, account: AccountId, *, after: str = "", limit: int = 100) -> Sequence[FlowRow]:
        """The newest revision of each flow, by name, from behind the name `after`."""
        ...
