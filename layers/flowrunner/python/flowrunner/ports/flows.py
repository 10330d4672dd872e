"""Flow documents by revision, kept until the flow is deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.ids import AccountId, FlowId, Millis
from flowrunner.errors import PreconditionFailed


@dataclass(frozen=True, slots=True)
class FlowRow:
    """One revision of a flow. It never changes."""

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

    def save(self, row: FlowRow, expected_revision: int | None = None) -> FlowRow:
        """Store a document under `row.name`.

        The id of an existing flow of that name is kept and the next revision number given; a document with the
        newest revision's hash stores nothing and answers that revision. `row.id` is used for a new name only.

        Raises `PreconditionFailed` when the newest revision is not `expected_revision` (0: there must be none),
        whatever the document is.
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

    def revisions(
        self, account: AccountId, flow: FlowId, *, before: int | None = None, limit: int = 100
    ) -> Sequence[FlowRow]:
        """The revisions of a flow, newest first, from below the revision `before`."""
        ...

    def delete(self, account: AccountId, flow: FlowId) -> bool:
        """Remove a flow with all its revisions; True if it was there. Its name is free for a new flow then."""
        ...


def require_revision(name: str, newest: FlowRow | None, expected: int | None) -> None:
    """Raises `PreconditionFailed` unless `newest` is the revision that whoever saves has seen."""
    found = newest.revision if newest is not None else 0
    if expected is None or found == expected:
        return
    if not expected:
        problem = f"exists already, at revision {found}"
    else:
        problem = (
            f"is at revision {found}, not {expected}" if found else f"does not exist, so not at revision {expected}"
        )
    raise PreconditionFailed(
        f"the flow {name!r} {problem}", hint="read it, apply your change to that, and save again", revision=found
    )
