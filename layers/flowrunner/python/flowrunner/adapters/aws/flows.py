"""Flow documents in DynamoDB: an item for each revision, and one for each name that says which is the newest.

Both are written in one transaction. A flow's `generation` is drawn when it is new: whoever deletes a flow can then not
hit a later one that was given the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from flowrunner.adapters.aws.content import Contents
from flowrunner.adapters.aws.keys import Key, joined, key, unescape
from flowrunner.adapters.aws.ranges import named
from flowrunner.adapters.aws.table import Item, Refused, Table, Write, key_of, number, octets, text
from flowrunner.core.ids import AccountId, FlowId
from flowrunner.errors import StoreError
from flowrunner.ports.clock import Draws
from flowrunner.ports.flows import FlowRow, require_revision

TRIES = 100
"""Lost races for one flow after which something is wrong with the table, not with luck."""

NAMES = "N#"
REVISION_DIGITS = 9
LAST_REVISION = 10**REVISION_DIGITS - 1


class DynamoFlows:
    """See `ports.flows.Flows`."""

    def __init__(self, table: Table, contents: Contents, draws: Draws) -> None:
        self._table = table
        self._contents = contents
        self._draws = draws

    def save(self, row: FlowRow, expected_revision: int | None = None) -> FlowRow:
        place = _name_key(row.account, row.name)
        document = self._contents.keep(row.account, row.document.encode())
        stored = False
        try:
            for _ in range(TRIES):
                named_by = self._table.get(place)
                newest = self._newest(row.account, named_by)
                if named_by is not None and newest is None:
                    continue  # it was deleted just now
                require_revision(row.name, newest, expected_revision)
                if newest is not None and newest.hash == row.hash:
                    return newest
                if newest is not None:
                    saved = replace(row, id=newest.id, revision=newest.revision + 1)
                else:
                    saved = replace(row, revision=1)
                stored = self._write(saved, document, named_by)
                if stored:
                    return saved
        finally:
            if not stored:
                self._contents.drop(document)
        raise StoreError(f"the flow {row.name!r} changes all the time; try again")

    def _write(self, row: FlowRow, document: bytes, old: Item | None) -> bool:
        """Store a revision on top of the name's item as it was read. False if that has changed."""
        generation = text(old, "g") if old is not None else self._draws.token()[:12]
        place, at = _name_key(row.account, row.name), _revision_key(row.account, row.id, row.revision)
        name: Item = {"pk": place.pk, "sk": place.sk, "i": row.id, "rv": row.revision, "g": generation}
        revision: Item = {
            "pk": at.pk,
            "sk": at.sk,
            "n": row.name,
            "h": row.hash,
            "t0": row.created_at,
            "g": generation,
            "b": document,
        }
        absent = "attribute_not_exists(pk)"
        if old is None:
            newest = Write(absent, put=name)
        else:
            newest = Write("rv = :rv AND g = :g", {":rv": row.revision - 1, ":g": generation}, put=name)
        try:
            self._table.transact([newest, Write(absent, put=revision)])
        except Refused:
            if old is None:
                self._remove_leftovers(row.account, row.id)
            return False
        return True

    def get(self, account: AccountId, flow: FlowId, revision: int | None = None) -> FlowRow | None:
        if revision is None:
            return next(iter(self.revisions(account, flow, limit=1)), None)
        if not 0 < revision <= LAST_REVISION:
            return None
        item = self._table.get(_revision_key(account, flow, revision))
        return self._row(account, item) if item is not None else None

    def find(self, account: AccountId, name: str) -> FlowRow | None:
        return self._newest(account, self._table.get(_name_key(account, name)))

    def list(self, account: AccountId, *, after: str = "", limit: int = 100) -> Sequence[FlowRow]:
        found = named(self._table, joined("F", account), NAMES, after=after, limit=limit)
        names = list(islice(found, limit))
        keys = [_revision_key(account, FlowId(text(item, "i")), number(item, "rv")) for item in names]
        items = self._table.get_all(keys)
        return [self._row(account, items[one]) for one in keys if one in items]

    def revisions(
        self, account: AccountId, flow: FlowId, *, before: int | None = None, limit: int = 100
    ) -> Sequence[FlowRow]:
        last = LAST_REVISION if before is None else min(before - 1, LAST_REVISION)
        if last < 1:
            return []
        first, behind = _revision_key(account, flow, 1), _revision_key(account, flow, last)
        found = self._table.query(
            "pk = :pk AND sk BETWEEN :low AND :high",
            {":pk": first.pk, ":low": first.sk, ":high": behind.sk},
            descending=True,
            limit=limit,
        )
        return [self._row(account, item) for item in islice(found, limit)]

    def delete(self, account: AccountId, flow: FlowId) -> bool:
        newest = self.get(account, flow)
        if newest is None:
            return False
        place = _name_key(account, newest.name)
        found = self._table.get(place)
        if found is not None and text(found, "i") == flow:
            # The name goes first: from then on nobody finds the flow, or adds to it.
            try:
                self._table.delete(place, "g = :g", {":g": text(found, "g")})
            except Refused as refused:
                if refused.item is not None:
                    return False
        return self._remove_leftovers(account, flow)

    def delete_account(self, account: AccountId, limit: int) -> int:
        """Remove up to `limit` flows of an account; answers how many."""
        flows = {row.id for row in self.list(account, limit=limit)}
        for flow in flows:
            self.delete(account, flow)
        if not flows:  # what a crash has left of a deletion
            rest = list(self._table.query("pk = :pk", {":pk": joined("F", account)}))
            self._remove(rest)
            return min(len(rest), limit)
        return len(flows)

    def _remove_leftovers(self, account: AccountId, flow: FlowId) -> bool:
        """Remove the revisions that no name leads to. True if there were any."""
        first = _revision_key(account, flow, 1)
        found = self._table.query(
            "pk = :pk AND begins_with(sk, :sk)", {":pk": first.pk, ":sk": first.sk[:-REVISION_DIGITS]}
        )
        dead = [item for item in list(found) if self._nameless(account, item)]
        return self._remove(dead)

    def _nameless(self, account: AccountId, revision: Item) -> bool:
        name = self._table.get(_name_key(account, text(revision, "n")))
        return name is None or text(name, "g") != text(revision, "g")

    def _remove(self, items: Sequence[Item]) -> bool:
        removed = False
        for item in items:
            try:
                removed |= self._table.delete(key_of(item), "g = :g", {":g": text(item, "g")}) is not None
            except Refused:
                continue  # another one is in its place
            self._contents.drop(octets(item, "b"))
        return removed

    def _newest(self, account: AccountId, name: Item | None) -> FlowRow | None:
        if name is None:
            return None
        item = self._table.get(_revision_key(account, FlowId(text(name, "i")), number(name, "rv")))
        return self._row(account, item) if item is not None else None

    def _row(self, account: AccountId, item: Item) -> FlowRow:
        _, flow, revision = text(item, "sk").split("#")
        return FlowRow(
            account,
            _flow_id(flow),
            text(item, "n"),
            int(revision),
            self._contents.read(octets(item, "b"), account).decode(),
            text(item, "h"),
            number(item, "t0"),
        )


def _flow_id(part: str) -> FlowId:
    return FlowId(unescape(part))


def _name_key(account: AccountId, name: str) -> Key:
    return key(joined("F", account), NAMES + name)


def _revision_key(account: AccountId, flow: FlowId, revision: int) -> Key:
    return key(joined("F", account), joined("R", flow, f"{revision:0{REVISION_DIGITS}d}"))
