"""Small documents in DynamoDB."""

from __future__ import annotations

from itertools import islice

from flowrunner.adapters.aws.content import Contents
from flowrunner.adapters.aws.keys import Key, joined, key
from flowrunner.adapters.aws.table import Item, Refused, Table, key_of, number, octets, text
from flowrunner.core.ids import AccountId
from flowrunner.ports.clock import Draws


class DynamoDocuments:
    """See `ports.documents.Documents`."""

    def __init__(self, table: Table, contents: Contents, draws: Draws) -> None:
        self._table = table
        self._contents = contents
        self._draws = draws

    def read(self, account: AccountId, key: str) -> tuple[bytes, int]:
        item = self._table.get(_key(account, key))
        if item is None:
            return b"", 0
        return self._contents.read(octets(item, "b"), account), number(item, "rv")

    def write(self, account: AccountId, key: str, body: bytes, expected_rev: int) -> bool:
        place = _key(account, key)
        stored, mark = self._contents.keep(account, body), self._draws.token()[:8]
        item: Item = {"pk": place.pk, "sk": place.sk, "b": stored, "rv": expected_rev + 1, "mk": mark}
        try:
            if expected_rev:
                old = self._table.put(item, "rv = :rv", {":rv": expected_rev})
            else:
                old = self._table.put(item, "attribute_not_exists(pk)")
        except Refused as refused:
            # Our own write, whose answer was lost and which botocore then repeated, is no lost race.
            won = refused.item is not None and text(refused.item, "mk") == mark
            if not won:
                self._contents.drop(stored)
            return won
        if old is not None:
            self._contents.drop(octets(old, "b"))
        return True

    def delete_account(self, account: AccountId, limit: int) -> int:
        """Remove up to `limit` documents of an account; answers how many."""
        found = self._table.query("pk = :pk", {":pk": joined("O", account)}, limit=limit)
        items = list(islice(found, limit))
        self._table.delete_all(key_of(item) for item in items)
        self._contents.drop(*(octets(item, "b") for item in items))
        return len(items)


def _key(account: AccountId, name: str) -> Key:
    return key(joined("O", account), f"={name}")
