"""Flows, blobs, callbacks and documents in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowrunner.adapters.memory.data import Data
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, RunId, StepId
from flowrunner.ports.callbacks import CallbackRow
from flowrunner.ports.flows import FlowRow, require_revision


class MemoryFlows:
    """See `ports.flows.Flows`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def save(self, row: FlowRow, expected_revision: int | None = None) -> FlowRow:
        with self._data.lock:
            newest = self.find(row.account, row.name)
            require_revision(row.name, newest, expected_revision)
            if newest is not None and newest.hash == row.hash:
                return newest
            saved = replace(row, id=newest.id, revision=newest.revision + 1) if newest else replace(row, revision=1)
            self._data.flows.setdefault((row.account, row.name), []).append(saved)
            return saved

    def get(self, account: AccountId, flow: FlowId, revision: int | None = None) -> FlowRow | None:
        with self._data.lock:
            revisions = self._revisions(account, flow)
            wanted = revision if revision is not None else len(revisions)
            return revisions[wanted - 1] if 0 < wanted <= len(revisions) else None

    def find(self, account: AccountId, name: str) -> FlowRow | None:
        with self._data.lock:
            revisions = self._data.flows.get((account, name))
            return revisions[-1] if revisions else None

    def list(self, account: AccountId, *, after: str = "", limit: int = 100) -> Sequence[FlowRow]:
        with self._data.lock:
            newest = [
                revisions[-1]
                for (owner, name), revisions in self._data.flows.items()
                if owner == account and name > after
            ]
        return sorted(newest, key=lambda row: row.name.encode())[:limit]

    def revisions(
        self, account: AccountId, flow: FlowId, *, before: int | None = None, limit: int = 100
    ) -> Sequence[FlowRow]:
        with self._data.lock:
            found = [row for row in self._revisions(account, flow) if before is None or row.revision < before]
        return found[::-1][:limit]

    def delete(self, account: AccountId, flow: FlowId) -> bool:
        with self._data.lock:
            found = self._revisions(account, flow)
            return bool(found) and self._data.flows.pop((account, found[0].name), None) is not None

    def _revisions(self, account: AccountId, flow: FlowId) -> Sequence[FlowRow]:
        return next(
            (rows for (owner, _), rows in self._data.flows.items() if owner == account and rows[0].id == flow), ()
        )


class MemoryBlobs:
    """See `ports.blobs.Blobs`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def put(self, account: AccountId, run: RunId, key: str, content: bytes) -> None:
        with self._data.lock:
            self._blobs(account, run).setdefault(key, content)

    def get(self, account: AccountId, run: RunId, key: str) -> bytes | None:
        with self._data.lock:
            return self._blobs(account, run).get(key)

    def _blobs(self, account: AccountId, run: RunId) -> dict[str, bytes]:
        """The blobs of a run; its input may be stored before the run itself is."""
        found = self._data.runs.get((account, run))
        if found is None:
            return self._data.early_blobs.setdefault((account, run), {})
        found.blobs.update(self._data.early_blobs.pop((account, run), {}))
        return found.blobs


class MemoryCallbacks:
    """See `ports.callbacks.Callbacks`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def register(self, row: CallbackRow) -> None:
        with self._data.lock:
            for token, other in list(self._data.callbacks.items()):
                if _address(other) == _address(row):
                    del self._data.callbacks[token]
            self._data.callbacks[row.token_hash] = row

    def find(self, token_hash: str) -> CallbackRow | None:
        with self._data.lock:
            return self._data.callbacks.get(token_hash)

    def deliver(self, token_hash: str, payload: Json) -> bool:
        with self._data.lock:
            row = self._data.callbacks.get(token_hash)
            if row is None or row.delivered:
                return False
            self._data.callbacks[token_hash] = replace(row, payload=payload, delivered=True)
            return True

    def inbox(self, account: AccountId, run: RunId, step: StepId) -> CallbackRow | None:
        with self._data.lock:
            rows = [
                row for row in self._data.callbacks.values() if (row.account, row.run, row.step) == (account, run, step)
            ]
            return max(rows, key=lambda row: row.attempt, default=None)


class MemoryDocuments:
    """See `ports.documents.Documents`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def read(self, account: AccountId, key: str) -> tuple[bytes, int]:
        with self._data.lock:
            return self._data.documents.get((account, key), (b"", 0))

    def write(self, account: AccountId, key: str, body: bytes, expected_rev: int) -> bool:
        with self._data.lock:
            if self.read(account, key)[1] != expected_rev:
                return False
            self._data.documents[account, key] = (body, expected_rev + 1)
            return True


def _address(row: CallbackRow) -> tuple[str, str, str, int]:
    return (row.account, row.run, row.step, row.attempt)
