"""Removing a run with everything that belongs to it, and an account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flowrunner.adapters.aws.blobs import DynamoBlobs
from flowrunner.adapters.aws.callbacks import DynamoCallbacks
from flowrunner.adapters.aws.content import Contents
from flowrunner.adapters.aws.documents import DynamoDocuments
from flowrunner.adapters.aws.entities import DynamoEntities
from flowrunner.adapters.aws.flows import DynamoFlows
from flowrunner.adapters.aws.journal import Journal, head_key
from flowrunner.adapters.aws.keys import FACTS, HEAD, Key
from flowrunner.adapters.aws.kv import DynamoKeyValues
from flowrunner.adapters.aws.lists import RunLists
from flowrunner.adapters.aws.queue import TableQueue
from flowrunner.adapters.aws.table import Refused, Table, Write, key_of
from flowrunner.core.ids import AccountId, RunId


@dataclass(frozen=True, slots=True)
class RunRemoval:
    """Removes runs. Head and facts go last: until then a removal that was broken off can be found and repeated."""

    table: Table
    contents: Contents
    journal: Journal
    queue: TableQueue
    callbacks: DynamoCallbacks
    blobs: DynamoBlobs
    values: DynamoKeyValues

    def delete(self, account: AccountId, run: RunId) -> bool:
        """See `ports.history.RunHistory`."""
        place = head_key(account, run)
        if place is None or self.table.get(place) is None:
            return False
        self.queue.delete_run(account, run)
        self.callbacks.delete_run(account, run)
        self.blobs.delete_run(account, run)
        self.values.delete_run(account, run)
        found = [key_of(item) for item in self.table.query("pk = :pk", {":pk": place.pk})]
        self.table.delete_all(one for one in found if one.sk not in (FACTS, HEAD))
        self.contents.drop_run(account, run)
        self.journal.forget(account, run)
        try:
            self.table.transact([Write("attribute_exists(pk)", delete=place), Write(delete=Key(place.pk, FACTS))])
        except Refused:
            return False  # somebody else has removed it meanwhile
        return True


@dataclass(frozen=True, slots=True)
class AccountRemoval:
    """Removes accounts."""

    runs: RunRemoval
    lists: RunLists
    documents: DynamoDocuments
    flows: DynamoFlows
    entities: DynamoEntities

    def delete(self, account: AccountId, limit: int) -> int:
        """See `ports.backend.Backend`."""
        removed = sum(self.runs.delete(*run) for run in self.lists.all_of(account, limit))
        steps: list[Callable[[AccountId, int], int]] = [
            self.runs.queue.delete_account,
            self.runs.callbacks.delete_account,
            self.runs.blobs.delete_account,
            self.runs.values.delete_account,
            self.documents.delete_account,
            self.flows.delete_account,
            self.entities.delete_account,
        ]
        for step in steps:
            if removed >= limit:
                return removed
            removed += step(account, limit - removed)
        if not removed:
            self.runs.contents.drop_account(account)
        return removed
