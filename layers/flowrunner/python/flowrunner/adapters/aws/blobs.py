"""Large values: small ones in an item, the others in the bucket with an item that says where.

The item decides which content a key has, so that the first one stays; an object that came too late is removed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from flowrunner.adapters.aws.content import Contents
from flowrunner.adapters.aws.keys import Key, joined, key
from flowrunner.adapters.aws.table import Item, Refused, Table, key_of, octets
from flowrunner.core.ids import AccountId, RunId

INLINE = 8 * 1024
"""Compressed bytes up to which a blob lives in its item: writing 8 KB costs about what an object costs."""


class DynamoBlobs:
    """See `ports.blobs.Blobs`."""

    def __init__(self, table: Table, contents: Contents) -> None:
        self._table = table
        self._contents = contents

    def put(self, account: AccountId, run: RunId, key: str, content: bytes) -> None:
        place = _key(account, run, key)
        stored = self._contents.keep(account, content, run, INLINE)
        try:
            self._table.put({"pk": place.pk, "sk": place.sk, "b": stored}, "attribute_not_exists(pk)")
        except Refused as refused:
            # Our own write may come back refused: botocore repeats one whose answer was lost.
            if refused.item is None or octets(refused.item, "b") != stored:
                self._contents.drop(stored)

    def get(self, account: AccountId, run: RunId, key: str) -> bytes | None:
        item = self._table.get(_key(account, run, key))
        return self._contents.read(octets(item, "b"), account, run) if item is not None else None

    def delete_run(self, account: AccountId, run: RunId) -> None:
        """Remove the blobs of a run."""
        found = self._table.query(
            "pk = :pk AND begins_with(sk, :sk)", {":pk": joined("B", account), ":sk": joined(run, "")}
        )
        self._remove(list(found))

    def delete_account(self, account: AccountId, limit: int) -> int:
        """Remove up to `limit` blobs of an account; answers how many."""
        found = list(islice(self._table.query("pk = :pk", {":pk": joined("B", account)}, limit=limit), limit))
        self._remove(found)
        return len(found)

    def _remove(self, items: Sequence[Item]) -> None:
        self._table.delete_all(key_of(item) for item in items)
        self._contents.drop(*(octets(item, "b") for item in items))


def _key(account: AccountId, run: RunId, name: str) -> Key:
    return key(joined("B", account), joined(run, last=name))
