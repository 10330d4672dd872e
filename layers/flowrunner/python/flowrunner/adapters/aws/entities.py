"""Entities in DynamoDB: an item each, and one more for a second name, which makes it unique."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from flowrunner.adapters.aws.content import Contents, is_object
from flowrunner.adapters.aws.keys import Key, joined, key, moment, read_moment, unescape
from flowrunner.adapters.aws.ranges import named
from flowrunner.adapters.aws.table import Item, Refused, Table, Value, Write, key_of, number, octets, optional, text
from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict, StoreError
from flowrunner.ports.clock import Draws
from flowrunner.ports.entities import ANY_REVISION, Entity
from flowrunner.ports.text import require_storable

TRIES = 100
"""Lost races for one entity after which something is wrong with the table, not with luck."""

EXPIRED = "XE"
"""The partition of the expiry index that has the entities."""

ABSENT = "attribute_not_exists(pk)"
SAME = "rv = :rv AND mk = :mk"
ALIVE = "attribute_not_exists(ex) OR ex > :now"


class DynamoEntities:
    """See `ports.entities.Entities`.

    A write is one conditional put. Only when a second name is taken or given up is it a transaction: the name's item
    (`L#kind#name`) says who has it.
    """

    def __init__(self, table: Table, contents: Contents, draws: Draws) -> None:
        self._table = table
        self._contents = contents
        self._draws = draws

    def get(self, account: AccountId, kind: str, id: str, now: Millis) -> Entity | None:
        require_storable(account, kind, id)
        return self._alive(self._table.get(_key(account, kind, id)), now)

    def put(self, entity: Entity, now: Millis, expected_rev: int = ANY_REVISION) -> Entity | None:
        require_storable(entity.account, entity.kind, entity.id, entity.lookup)
        place = _key(entity.account, entity.kind, entity.id)
        body = self._contents.keep(entity.account, entity.body)
        stored: Entity | None = None
        try:
            for _ in range(TRIES):
                old = self._table.get(place)
                rev = number(old, "rv") if old is not None and not _expired(old, now) else 0
                if expected_rev not in (ANY_REVISION, rev):
                    return None
                wanted = replace(entity, rev=rev + 1)
                if self._write(place, wanted, body, old, now):
                    stored = wanted
                    if old is not None:
                        self._contents.drop(octets(old, "b"))
                    return stored
        finally:
            if stored is None:
                self._contents.drop(body)
        raise StoreError(f"the {entity.kind} {entity.id!r} changes all the time; try again")

    def _write(self, place: Key, entity: Entity, body: bytes, old: Item | None, now: Millis) -> bool:
        """One try, on top of `old`. False if that is not there any more. Raises `Conflict`."""
        mark = self._draws.token()[:8]
        item = _item(place, entity, body, mark)
        unchanged, version = (SAME, _version(old)) if old is not None else (ABSENT, {})
        before = text(old, "lk") if old is not None and "lk" in old else None
        try:
            if before == entity.lookup:
                self._table.put(item, unchanged, version)
                return True
            writes = [Write(unchanged, version, put=item)]
            if entity.lookup is not None:
                writes += self._take(entity, entity.lookup, now)
            if before is not None:
                writes.append(self._give_up(place, entity.kind, before))
            self._table.transact(writes)
        except Refused as refused:
            # Our own write, whose answer was lost and which botocore then repeated, is no lost race.
            return refused.item is not None and refused.item.get("mk") == mark
        return True

    def _take(self, entity: Entity, lookup: str, now: Millis) -> list[Write]:
        """The writes that take a second name. Raises `Conflict` while another entity has it."""
        place = _lookup_key(entity.kind, lookup)
        mine = _key(entity.account, entity.kind, entity.id)
        item: Item = {"pk": place.pk, "sk": place.sk, "hp": mine.pk, "hs": mine.sk}
        found = self._table.get(place)
        if found is None:
            return [Write(ABSENT, put=item)]
        holder_key = Key(text(found, "hp"), text(found, "hs"))
        still = Write("hp = :hp AND hs = :hs", {":hp": holder_key.pk, ":hs": holder_key.sk}, put=item)
        holder = self._table.get(holder_key) if holder_key != mine else None
        if holder is None or text(holder, "lk") != lookup or "lk" not in holder:
            return [still]  # it was ours, or its holder is gone
        if not _expired(holder, now):
            raise Conflict(f"there is a {entity.kind} of that name already")
        return [still, Write(SAME, _version(holder), delete=holder_key)]

    @staticmethod
    def _give_up(place: Key, kind: str, lookup: str) -> Write:
        """The write that frees a second name, if it is this entity's still."""
        return Write(
            "attribute_not_exists(pk) OR (hp = :hp AND hs = :hs)",
            {":hp": place.pk, ":hs": place.sk},
            delete=_lookup_key(kind, lookup),
        )

    def delete(self, account: AccountId, kind: str, id: str, expected_rev: int = ANY_REVISION) -> bool:
        require_storable(account, kind, id)
        place = _key(account, kind, id)
        for _ in range(TRIES):
            found = self._table.get(place)
            if found is None or expected_rev not in (ANY_REVISION, number(found, "rv")):
                return False
            if self._remove(place, found):
                return True
        raise StoreError(f"the {kind} {id!r} changes all the time; try again")

    def _remove(self, place: Key, found: Item) -> bool:
        """Remove exactly this version; False if it is not there any more."""
        try:
            if "lk" not in found:
                self._table.delete(place, SAME, _version(found))
            else:
                give_up = self._give_up(place, _kind_of(place), text(found, "lk"))
                self._table.transact([Write(SAME, _version(found), delete=place), give_up])
        except Refused:
            return False
        self._contents.drop(octets(found, "b"))
        return True

    def list(
        self,
        account: AccountId,
        kind: str,
        now: Millis,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = 100,
        descending: bool = False,
    ) -> Sequence[Entity]:
        require_storable(account, kind, prefix, after)
        place = _key(account, kind, "")
        found = named(
            self._table,
            place.pk,
            place.sk,
            prefix=prefix,
            after=after,
            descending=descending,
            limit=limit,
            keep=ALIVE,
            values={":now": now},
        )
        return [self._entity(item) for item in islice(found, limit)]

    def find(self, kind: str, lookup: str, now: Millis) -> Entity | None:
        require_storable(kind, lookup)
        found = self._table.get(_lookup_key(kind, lookup))
        if found is None:
            return None
        entity = self._alive(self._table.get(Key(text(found, "hp"), text(found, "hs"))), now)
        return entity if entity is not None and entity.lookup == lookup else None

    def due(self, kind: str, until: Millis, limit: int) -> Sequence[Entity]:
        require_storable(kind)
        found = self._table.query(
            "g2p = :p AND g2s < :s", {":p": _due_pk(kind), ":s": moment(until + 1)}, index="due", limit=limit
        )
        keys = [key_of(item) for item in islice(found, limit)]
        # The index may lag behind: what counts is the entity itself.
        items = self._table.get_all(keys)
        entities = [self._entity(items[one]) for one in keys if one in items]
        return [one for one in entities if one.due is not None and one.due <= until]

    def next_due(self, kind: str) -> Millis | None:
        require_storable(kind)
        first = next(self._table.query("g2p = :p", {":p": _due_pk(kind)}, index="due", limit=1), None)
        return read_moment(text(first, "g2s")) if first is not None else None

    def purge(self, now: Millis) -> int:
        expired = self._table.query("g3p = :p AND g3s < :s", {":p": EXPIRED, ":s": moment(now + 1)}, index="expiry")
        return sum(self._purge(key_of(item), now) for item in list(expired))

    def _purge(self, place: Key, now: Millis) -> bool:
        found = self._table.get(place)
        return found is not None and _expired(found, now) and self._remove(place, found)

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        require_storable(account)
        found = self._table.query("pk = :pk", {":pk": joined("E", account)}, limit=limit)
        return sum(self._remove(key_of(item), item) for item in list(islice(found, limit)))

    def _alive(self, item: Item | None, now: Millis) -> Entity | None:
        return self._entity(item) if item is not None and not _expired(item, now) else None

    def _entity(self, item: Item) -> Entity:
        account, kind, id = _names(key_of(item))
        return Entity(
            account,
            kind,
            id,
            self._contents.read(octets(item, "b"), account),
            number(item, "rv"),
            text(item, "lk") if "lk" in item else None,
            optional(item, "du"),
            optional(item, "ex"),
        )


def _item(place: Key, entity: Entity, body: bytes, mark: str) -> Item:
    item: Item = {"pk": place.pk, "sk": place.sk, "b": body, "rv": entity.rev, "mk": mark}
    if entity.lookup is not None:
        item["lk"] = entity.lookup
    if entity.due is not None:
        # The index keeps the order that is promised: by time, then account, then id.
        item |= {"du": entity.due, "g2p": _due_pk(entity.kind)}
        item["g2s"] = _cut(f"{moment(entity.due)}#{joined(entity.account, last=entity.id)}")
    if entity.expires_at is not None:
        item |= {"ex": entity.expires_at, "g3p": EXPIRED, "g3s": moment(entity.expires_at)}
        if entity.lookup is None and not is_object(body):
            item["ttl"] = -(-entity.expires_at // 1000)  # nothing else hangs on it, so DynamoDB may remove it by itself
    return item


def _expired(item: Item, now: Millis) -> bool:
    expires_at = optional(item, "ex")
    return expires_at is not None and expires_at <= now


def _version(item: Item) -> dict[str, Value]:
    return {":rv": number(item, "rv"), ":mk": text(item, "mk")}


def _key(account: AccountId, kind: str, id: str) -> Key:
    return key(joined("E", account), joined(kind, last=id))


def _names(place: Key) -> tuple[AccountId, str, str]:
    kind, _, id = place.sk.partition("#")
    return AccountId(unescape(place.pk.partition("#")[2])), unescape(kind), id


def _kind_of(place: Key) -> str:
    return _names(place)[1]


def _lookup_key(kind: str, lookup: str) -> Key:
    return key(joined("L", kind, lookup), "L")


def _due_pk(kind: str) -> str:
    return joined("D", kind)


def _cut(sort_key: str) -> str:
    """A sort key of an index: what is too long for one loses its end, and with it only the order among equals."""
    return sort_key.encode()[:1024].decode(errors="ignore")
