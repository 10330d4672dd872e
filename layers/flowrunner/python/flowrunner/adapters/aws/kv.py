"""Key-value items in DynamoDB: JSON text, an item each, one partition for each account."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

import orjson

from flowrunner.adapters.aws.content import Contents, is_object
from flowrunner.adapters.aws.keys import Key, escape, joined, key, moment
from flowrunner.adapters.aws.ranges import named
from flowrunner.adapters.aws.table import Item as Row
from flowrunner.adapters.aws.table import Refused, Table, key_of, octets, optional, text
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.errors import Conflict, InvalidInput, StoreError
from flowrunner.ports.clock import Draws
from flowrunner.ports.kv import Item, namespaces_of
from flowrunner.ports.text import require_storable

TRIES = 200
"""Lost races for one number after which something is wrong with the table, not with luck."""

EXPIRED = "XV"
"""The partition of the expiry index that has the values."""


class DynamoKeyValues:
    """See `ports.kv.KeyValues`."""

    def __init__(self, table: Table, contents: Contents, draws: Draws) -> None:
        self._table = table
        self._contents = contents
        self._draws = draws

    def get(self, account: AccountId, namespace: str, key: str, now: Millis) -> Item | None:
        row = self._table.get(_key(account, namespace, key))
        return self._item(account, row, key) if row is not None and _alive(row, now) else None

    def set(self, account: AccountId, namespace: str, item: Item) -> None:
        place = _key(account, namespace, item.key)
        try:
            raw = orjson.dumps(item.value)
        except TypeError as error:  # orjson.JSONEncodeError is one
            raise InvalidInput(f"the value of {item.key!r} cannot be stored as JSON: {error}") from None
        self._drop(self._table.put(_row(place, self._contents.keep(account, raw), item.expires_at)))

    def delete(self, account: AccountId, namespace: str, key: str) -> bool:
        old = self._table.delete(_key(account, namespace, key))
        self._drop(old)
        return old is not None

    def list(
        self, account: AccountId, namespace: str, now: Millis, *, prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[Item]:
        require_storable(namespace, prefix, after)
        base = f"{escape(namespace)}#"
        rows = named(
            self._table,
            joined("V", account),
            base,
            prefix=prefix,
            after=after,
            limit=limit,
            keep="attribute_not_exists(ex) OR ex > :now",
            values={":now": now},
        )
        return [self._item(account, row, text(row, "sk")[len(base) :]) for row in islice(rows, limit)]

    def increment(
        self, account: AccountId, namespace: str, key: str, by: float, now: Millis, expires_at: Millis | None
    ) -> float:
        place = _key(account, namespace, key)
        for _ in range(TRIES):
            row = self._table.get(place)
            there = row is not None and _alive(row, now)
            value = self._item(account, row, key).value if row is not None and there else 0
            total = _sum(key, value, by)
            mark = self._draws.token()[:8]
            changed = _row(place, self._contents.keep(account, orjson.dumps(total)), expires_at) | {"mk": mark}
            try:
                if row is None:
                    self._table.put(changed, "attribute_not_exists(pk)")
                else:
                    self._table.put(changed, "b = :b", {":b": octets(row, "b")})
            except Refused as refused:
                # Our own write, whose answer was lost and which botocore then repeated, must not be added twice.
                if refused.item is None or text(refused.item, "mk") != mark:
                    continue
            return total
        raise StoreError(f"the value of {key!r} changes all the time; try again")

    def purge(self, now: Millis) -> int:
        expired = self._table.query("g3p = :p AND g3s < :s", {":p": EXPIRED, ":s": moment(now + 1)}, index="expiry")
        return sum(self._purge(key_of(row), now) for row in list(expired))

    def delete_run(self, account: AccountId, run: RunId) -> None:
        """Remove the run's own values."""
        start = escape(namespaces_of(run))
        rows = self._table.query("pk = :pk AND begins_with(sk, :sk)", {":pk": joined("V", account), ":sk": start})
        self._remove(list(rows))

    def delete_account(self, account: AccountId, limit: int) -> int:
        """Remove up to `limit` values of an account; answers how many."""
        rows = list(islice(self._table.query("pk = :pk", {":pk": joined("V", account)}, limit=limit), limit))
        self._remove(rows)
        return len(rows)

    def _remove(self, rows: Sequence[Row]) -> None:
        self._table.delete_all(key_of(row) for row in rows)
        self._contents.drop(*(octets(row, "b") for row in rows))

    def _purge(self, place: Key, now: Millis) -> bool:
        try:
            old = self._table.delete(place, "ex <= :now", {":now": now})
        except Refused:
            return False
        self._drop(old)
        return old is not None

    def _drop(self, old: Row | None) -> None:
        if old is not None:
            self._contents.drop(octets(old, "b"))

    def _item(self, account: AccountId, row: Row, key: str) -> Item:
        value: Json = orjson.loads(self._contents.read(octets(row, "b"), account))
        return Item(key, value, optional(row, "ex"))


def _sum(key: str, value: Json, by: float) -> float:
    """The number and `by`. Raises `Conflict` when there is no number, or none that JSON holds, in it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Conflict(f"the value of {key!r} is no number", hint="set it to a number before incrementing it")
    total = value + by
    if not math.isfinite(total) or (isinstance(total, int) and not -(2**63) <= total < 2**63):
        raise Conflict(f"the value of {key!r} would leave the range of numbers")
    return total


def _row(place: Key, stored: bytes, expires_at: Millis | None) -> Row:
    row: Row = {"pk": place.pk, "sk": place.sk, "b": stored}
    if expires_at is not None:
        row |= {"ex": expires_at, "g3p": EXPIRED, "g3s": moment(expires_at)}
        if not is_object(stored):
            row["ttl"] = -(-expires_at // 1000)  # DynamoDB removes it by itself, some time after
    return row


def _alive(row: Row, now: Millis) -> bool:
    expires_at = optional(row, "ex")
    return expires_at is None or expires_at > now


def _key(account: AccountId, namespace: str, name: str) -> Key:
    return key(joined("V", account), joined(namespace, last=name))
