"""Removing all that an account has from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from flowrunner.adapters.memory.data import Data
from flowrunner.adapters.memory.history import MemoryHistory
from flowrunner.core.ids import AccountId
from flowrunner.ports.entities import Entities


def delete_account(data: Data, entities: Entities, account: AccountId, limit: int) -> int:
    """See `ports.backend.Backend`."""
    with data.lock:
        removals = list(islice(_removals(data, account), limit))
        for remove in removals:
            remove()
        left = limit - len(removals)
        return len(removals) + (entities.delete_account(account, left) if left else 0)


def _removals(data: Data, account: AccountId) -> Iterator[Callable[[], object]]:
    """What removes one thing each."""
    history = MemoryHistory(data)
    yield from (partial(history.delete, *key) for key in data.runs if key[0] == account)
    yield from (partial(data.early_blobs.pop, key, None) for key in data.early_blobs if key[0] == account)
    yield from (partial(data.dequeue, [receipt]) for receipt in data.queue if receipt.account == account)
    yield from (partial(data.callbacks.pop, key, None) for key, row in data.callbacks.items() if row.account == account)
    yield from (
        partial(items.pop, key, None) for (owner, _), items in data.values.items() if owner == account for key in items
    )
    yield from (partial(data.documents.pop, key, None) for key in data.documents if key[0] == account)
    yield from (partial(data.flows.pop, key, None) for key in data.flows if key[0] == account)
