"""The inbox of waiting steps in DynamoDB: an item for each attempt, and one that leads from a token to it."""

from __future__ import annotations

from itertools import islice

import orjson

from flowrunner.adapters.aws.content import Contents
from flowrunner.adapters.aws.keys import Key, joined, key, unescape
from flowrunner.adapters.aws.table import Item, Refused, Table, key_of, number, octets, text
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, RunId, StepId
from flowrunner.ports.callbacks import CallbackRow
from flowrunner.ports.clock import Draws


class DynamoCallbacks:
    """See `ports.callbacks.Callbacks`. A token counts only if the attempt that it leads to names it as well."""

    def __init__(self, table: Table, contents: Contents, draws: Draws) -> None:
        self._table = table
        self._contents = contents
        self._draws = draws

    def register(self, row: CallbackRow) -> None:
        place, token = _key(row), _token_key(row.token_hash)
        item: Item = {"pk": place.pk, "sk": place.sk, "th": row.token_hash, "t0": row.created_at}
        if row.delivered:
            item |= {"p": self._payload(row, row.payload), "mk": self._draws.token()[:8]}
        self._table.put({"pk": token.pk, "sk": token.sk, "tp": place.pk, "ts": place.sk})
        old = self._table.put(item)
        if old is not None:
            self._forget(old, besides=row.token_hash)

    def find(self, token_hash: str) -> CallbackRow | None:
        place = self._place(token_hash)
        item = self._table.get(place) if place is not None else None
        return self._row(item) if item is not None and text(item, "th") == token_hash else None

    def deliver(self, token_hash: str, payload: Json) -> bool:
        row = self.find(token_hash)
        if row is None or row.delivered:
            return False
        stored, mark = self._payload(row, payload), self._draws.token()[:8]
        try:
            self._table.update(
                _key(row),
                "SET p = :p, mk = :mk",
                {":p": stored, ":mk": mark, ":th": token_hash},
                "th = :th AND attribute_not_exists(p)",
            )
        except Refused as refused:
            # Our own write, whose answer was lost and which botocore then repeated, is no second delivery.
            won = refused.item is not None and text(refused.item, "mk") == mark
            if not won:
                self._contents.drop(stored)
            return won
        return True

    def inbox(self, account: AccountId, run: RunId, step: StepId) -> CallbackRow | None:
        found = self._table.query(
            "pk = :pk AND begins_with(sk, :sk)",
            {":pk": joined("C", account), ":sk": joined(run, step, "")},
            descending=True,
            limit=1,
        )
        item = next(found, None)
        return self._row(item) if item is not None else None

    def delete_run(self, account: AccountId, run: RunId) -> None:
        """Remove what belongs to a run."""
        found = self._table.query(
            "pk = :pk AND begins_with(sk, :sk)", {":pk": joined("C", account), ":sk": joined(run, "")}
        )
        for item in list(found):
            self._remove(item)

    def delete_account(self, account: AccountId, limit: int) -> int:
        """Remove up to `limit` rows of an account; answers how many."""
        found = list(islice(self._table.query("pk = :pk", {":pk": joined("C", account)}, limit=limit), limit))
        for item in found:
            self._remove(item)
        return len(found)

    def _remove(self, item: Item) -> None:
        self._table.delete(key_of(item))
        self._forget(item)

    def _forget(self, item: Item, besides: str = "") -> None:
        """Remove what hangs on a row that is not there any more."""
        self._contents.drop(octets(item, "p"))
        if text(item, "th") != besides:
            self._table.delete(_token_key(text(item, "th")))

    def _place(self, token_hash: str) -> Key | None:
        found = self._table.get(_token_key(token_hash))
        return Key(text(found, "tp"), text(found, "ts")) if found is not None else None

    def _payload(self, row: CallbackRow, payload: Json) -> bytes:
        return self._contents.keep(row.account, orjson.dumps(payload), row.run)

    def _row(self, item: Item) -> CallbackRow:
        account = AccountId(unescape(text(item, "pk").partition("#")[2]))
        run, step, attempt = (unescape(part) for part in text(item, "sk").split("#"))
        delivered = "p" in item
        payload = orjson.loads(self._contents.read(octets(item, "p"), account, RunId(run))) if delivered else None
        return CallbackRow(
            text(item, "th"),
            account,
            RunId(run),
            StepId(step),
            int(attempt),
            number(item, "t0"),
            payload,
            delivered,
        )


def _key(row: CallbackRow) -> Key:
    return key(joined("C", row.account), joined(row.run, row.step, f"{row.attempt:06d}"))


def _token_key(token_hash: str) -> Key:
    return key(joined("T", token_hash), "T")
