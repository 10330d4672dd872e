"""Counts what calls to AWS cost, in the units that AWS bills: by the sizes of items, since moto's own figures are wrong.

(DynamoDB: a KB written or 4 KB read, see `sizes`; an index counts when what it holds of an item changes: twice when the
key does, as one entry goes and another comes.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from flowrunner.adapters.aws.schema import INDEXES
from flowrunner.services.cloud_costs import Units

from tests.adapters.aws.fake_table import FakeTable
from tests.adapters.aws.sizes import item_size, read_units, write_units

Raw = dict[str, Any]


@dataclass
class Counted:
    """Units so far; and, for whoever looks for where they go, by call."""

    units: Units = field(default_factory=Units)
    calls: dict[str, float] = field(default_factory=dict)


class Meter:
    """Makes calls, and counts them; one for all processes of an installation."""

    def __init__(self, table: FakeTable) -> None:
        self._table = table
        self.counted = Counted()

    def add(self, name: str, **units: float) -> None:
        self.counted.units += Units(**units)
        self.counted.calls[name] = self.counted.calls.get(name, 0) + sum(units.values())

    def take(self) -> Counted:
        """What was counted since the last time."""
        taken, self.counted = self.counted, Counted()
        return taken

    def __call__(self, name: str, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        counts = getattr(self, f"_{name}", None)
        assert counts is not None, f"nobody knows what {name} costs"
        return counts(arguments, make)

    # -- DynamoDB -----------------------------------------------------------------------------------------------------

    def _get_item(self, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        answer = make()
        size = item_size(answer["Item"]) if "Item" in answer else 0
        kind = arguments["Key"]["sk"]["S"][:2]
        self.add(f"get {kind}", read_units=read_units([size], consistent=bool(arguments.get("ConsistentRead"))))
        return answer

    def _batch_get_item(self, _arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        answer = make()
        for items in answer["Responses"].values():
            self.add("batch get", read_units=sum(read_units([item_size(item)], consistent=True) for item in items))
        return answer

    def _query(self, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        answer = make()
        units = read_units(self._table.looked, consistent=bool(arguments.get("ConsistentRead")))
        self.add(f"query {arguments.get('IndexName', '')}", read_units=units)
        return answer

    def _put_item(self, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        return self._written("put", [_place(arguments["Item"])], make)

    def _update_item(self, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        return self._written("update", [_place(arguments["Key"])], make)

    def _delete_item(self, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        return self._written("delete", [_place(arguments["Key"])], make)

    def _batch_write_item(self, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        [(_, requests)] = arguments["RequestItems"].items()
        places = [_place(one.get("PutRequest", {}).get("Item") or one["DeleteRequest"]["Key"]) for one in requests]
        return self._written("batch write", places, make)

    def _transact_write_items(self, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        writes = [next(iter(one.values())) for one in arguments["TransactItems"]]
        return self._written("transact", [_place(one.get("Item") or one["Key"]) for one in writes], make, times=2)

    def _written(self, how: str, places: list[tuple[str, str]], make: Callable[[], Any], times: int = 1) -> Any:
        before = [dict(self._table.items.get(place, {})) for place in places]
        try:
            return make()
        finally:
            after = [self._table.items.get(place, {}) for place in places]
            for place, old, new in zip(places, before, after, strict=True):
                self.add(f"{how} {place[1][:2]}", write_units=times * write_units(item_size(old), item_size(new)))
                self.add(f"index {place[1][:2]}", write_units=_index_units(old, new))

    # -- others -------------------------------------------------------------------------------------------------------

    def _send_message_batch(self, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        self.add("send", queue_requests=1, fair_messages=len(arguments["Entries"]))
        return make()

    def _change_message_visibility_batch(self, _arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        self.add("hide", queue_requests=1)
        return make()

    def _get_queue_attributes(self, _arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        self.add("attributes", queue_requests=1)
        return make()

    def _put_object(self, _arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        self.add("put object", object_writes=1)
        return make()

    def _get_object(self, _arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        self.add("get object", object_reads=1)
        return make()

    def _list_objects_v2(self, _arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        self.add("list objects", object_writes=1)  # LIST costs what PUT does
        return make()

    def _delete_objects(self, _arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        return make()  # deleting is free


def _place(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _index_units(old: Raw, new: Raw) -> float:
    """What the indexes cost when an item changes."""
    units = 0
    for partition, sort, held in INDEXES.values():
        keys = ("pk", "sk", partition, sort)
        shown = [
            {name: item[name] for name in (*keys, *held) if name in item} if partition in item and sort in item else {}
            for item in (old, new)
        ]
        if shown[0] == shown[1]:
            continue
        if shown[0] and shown[1] and any(shown[0][name] != shown[1][name] for name in keys):
            units += write_units(item_size(shown[0])) + write_units(item_size(shown[1]))
        else:
            units += write_units(*(item_size(one) for one in shown))
    return units


def minus(one: Units, other: Units, parts: float = 1) -> Units:
    """The difference, divided."""
    values = {each.name: (getattr(one, each.name) - getattr(other, each.name)) / parts for each in fields(Units)}
    return Units(**values)
