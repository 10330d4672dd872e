"""DynamoDB in this process, as far as the store uses it: a hundred times as fast as moto.

It is held to the same contract suites as the store on moto (`test_fakes`), so what is shown on it holds there too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowrunner.adapters.aws.schema import INDEXES, definition

from tests.adapters.aws.expressions import Malformed, Raw, change, condition, names_of_values
from tests.adapters.aws.fake_client import FakeClient, refusal
from tests.adapters.aws.sizes import item_size

ITEM_LIMIT = 400 * 1024
PAGE = 1024 * 1024
Place = tuple[str, str]
EXPRESSIONS = ("ConditionExpression", "UpdateExpression", "KeyConditionExpression", "FilterExpression")


class FakeTable(FakeClient):
    """A client of DynamoDB with one table in it."""

    def __init__(self) -> None:
        self.looked: list[int] = []
        """Sizes of the items that the last query looked at."""
        self.items: dict[Place, Raw] = {}
        self._partitions: dict[tuple[str, str], set[Place]] = {}

    # -- the table ----------------------------------------------------------------------------------------------------

    def describe_table(self, **arguments: Any) -> Any:
        return {"Table": definition(arguments["TableName"])}

    def get_waiter(self, _name: str) -> Any:
        return _Waiter()

    # -- one item -----------------------------------------------------------------------------------------------------

    def get_item(self, **arguments: Any) -> Any:
        found = self.items.get(_place(arguments["Key"]))
        return {"Item": dict(found)} if found is not None else {}

    def put_item(self, **arguments: Any) -> Any:
        place = _place(arguments["Item"])
        before = self._check("PutItem", place, arguments)
        self._store(place, dict(arguments["Item"]))
        return {"Attributes": before} if before and arguments.get("ReturnValues") == "ALL_OLD" else {}

    def update_item(self, **arguments: Any) -> Any:
        place = _place(arguments["Key"])
        before = self._check("UpdateItem", place, arguments) or dict(arguments["Key"])
        try:
            after = change(arguments["UpdateExpression"])(before, arguments.get("ExpressionAttributeValues", {}))
        except Malformed as error:
            raise refusal("ValidationException", "UpdateItem", str(error)) from None
        self._store(place, after)
        names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        names |= set(arguments["UpdateExpression"].replace(",", " ").split()) & {*before, *after}
        match arguments.get("ReturnValues", "NONE"):
            case "UPDATED_NEW":
                return {"Attributes": {name: after[name] for name in names if name in after}}
            case "UPDATED_OLD":
                return {"Attributes": {name: before[name] for name in names if name in before}}
            case "NONE":
                return {}
            case other:
                raise NotImplementedError(other)

    def delete_item(self, **arguments: Any) -> Any:
        place = _place(arguments["Key"])
        before = self._check("DeleteItem", place, arguments)
        self._store(place, None)
        return {"Attributes": before} if before and arguments.get("ReturnValues") == "ALL_OLD" else {}

    # -- several ------------------------------------------------------------------------------------------------------

    def batch_get_item(self, **arguments: Any) -> Any:
        [(table, wanted)] = arguments["RequestItems"].items()
        places = [_place(key) for key in wanted["Keys"]]
        if len(places) > 100 or len(set(places)) < len(places):
            raise refusal("ValidationException", "BatchGetItem", "too many keys, or one twice")
        found = [dict(self.items[place]) for place in reversed(places) if place in self.items]
        return {"Responses": {table: found}, "UnprocessedKeys": {}}

    def batch_write_item(self, **arguments: Any) -> Any:
        [(_, requests)] = arguments["RequestItems"].items()
        if len(requests) > 25:
            raise refusal("ValidationException", "BatchWriteItem", "too many writes")
        for request in requests:
            if "DeleteRequest" in request:
                self._store(_place(request["DeleteRequest"]["Key"]), None)
            else:
                item = request["PutRequest"]["Item"]
                self._store(_place(item), dict(item))
        return {"UnprocessedItems": {}}

    def transact_write_items(self, **arguments: Any) -> Any:
        writes = [next(iter(one.items())) for one in arguments["TransactItems"]]
        places = [_place(what.get("Item") or what["Key"]) for _, what in writes]
        if len(writes) > 100 or len(set(places)) < len(places):
            raise refusal("ValidationException", "TransactWriteItems", "too many writes, or an item twice")
        reasons = [self._reason(place, what) for place, (_, what) in zip(places, writes, strict=True)]
        if any(reason["Code"] != "None" for reason in reasons):
            code = "TransactionCanceledException"
            raise refusal(code, "TransactWriteItems", CancellationReasons=reasons)
        for place, (how, what) in zip(places, writes, strict=True):
            if how != "ConditionCheck":
                self._store(place, dict(what["Item"]) if how == "Put" else None)
        return {}

    def _reason(self, place: Place, what: Mapping[str, Any]) -> dict[str, Any]:
        if self._holds("TransactWriteItems", place, what):
            return {"Code": "None"}
        old = self.items.get(place)
        shown = {"Item": dict(old)} if old and what.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" else {}
        return {"Code": "ConditionalCheckFailed", **shown}

    # -- queries ------------------------------------------------------------------------------------------------------

    def query(self, **arguments: Any) -> Any:
        self._all_used("Query", arguments)
        index = arguments.get("IndexName", "")
        if index and arguments.get("ConsistentRead"):
            raise refusal("ValidationException", "Query", "an index cannot be read consistently")
        partition, sort, held = INDEXES[index] if index else ("pk", "sk", ())
        values = arguments["ExpressionAttributeValues"]
        keep = condition(arguments["FilterExpression"]) if "FilterExpression" in arguments else None
        found: list[Raw] = []
        self.looked = []
        looked, size, last = 0, 0, None
        for item in self._candidates(arguments, index, partition, sort):
            if (arguments.get("Limit") and looked >= arguments["Limit"]) or size >= PAGE:
                return {**_page(found, arguments), "LastEvaluatedKey": last}
            names = {"pk", "sk", partition, sort, *held} if index else set(item)
            shown = {name: item[name] for name in names if name in item}
            self.looked.append(item_size(shown))
            looked, size = looked + 1, size + self.looked[-1]
            last = {name: item[name] for name in {"pk", "sk", partition, sort}}
            if keep is None or keep(item, values):
                found.append(shown)
        more = bool(arguments.get("Limit")) and looked == arguments["Limit"]
        return {**_page(found, arguments), **({"LastEvaluatedKey": last} if more else {})}

    def _candidates(self, arguments: Mapping[str, Any], index: str, partition: str, sort: str) -> Iterable[Raw]:
        """The items of the partition that the key condition wants, in order, behind the start key."""
        values = arguments["ExpressionAttributeValues"]
        wanted = condition(arguments["KeyConditionExpression"])
        name = arguments["KeyConditionExpression"].split("=")[1].split()[0]
        forward = arguments.get("ScanIndexForward", True)

        def order(item: Mapping[str, Any]) -> tuple[bytes, ...]:
            return tuple(item[one]["S"].encode() for one in (sort, "pk", "sk"))

        items = self._members(index, values[name]["S"])
        chosen = sorted((item for item in items if wanted(item, values)), key=order, reverse=not forward)
        start = arguments.get("ExclusiveStartKey")
        if start is None:
            return chosen
        behind = order(start)
        return [item for item in chosen if (order(item) > behind if forward else order(item) < behind)]

    def _members(self, index: str, value: str) -> list[Raw]:
        """The items of a partition of the table (`index` empty) or of an index."""
        return [self.items[place] for place in self._partitions.get((index, value), ())]

    # -- how ----------------------------------------------------------------------------------------------------------

    def _holds(self, operation: str, place: Place, what: Mapping[str, Any]) -> bool:
        self._all_used(operation, what)
        text = what.get("ConditionExpression")
        if text is None:
            return True
        try:
            return condition(text)(self.items.get(place, {}), what.get("ExpressionAttributeValues", {}))
        except Malformed as error:
            raise refusal("ValidationException", operation, str(error)) from None

    def _check(self, operation: str, place: Place, what: Mapping[str, Any]) -> Raw | None:
        """The item as it is. Raises what DynamoDB answers if the condition does not hold."""
        old = self.items.get(place)
        if self._holds(operation, place, what):
            return dict(old) if old is not None else None
        shown: dict[str, Any] = {}
        if old and what.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            shown["Item"] = dict(old)
        raise refusal("ConditionalCheckFailedException", operation, **shown)

    def _all_used(self, operation: str, what: Mapping[str, Any]) -> None:
        used = {name for one in EXPRESSIONS for name in names_of_values(what.get(one, ""))}
        if used != set(what.get("ExpressionAttributeValues", {})):
            raise refusal("ValidationException", operation, "a value is unused, or missing")

    def _store(self, place: Place, item: Raw | None) -> None:
        before = self.items.pop(place, None)
        for partition in _partitions(before):
            self._partitions[partition].discard(place)
        if item is None:
            return
        if item_size(item) > ITEM_LIMIT:
            raise refusal("ValidationException", "PutItem", "Item size has exceeded the maximum allowed size")
        self.items[place] = item
        for partition in _partitions(item):
            self._partitions.setdefault(partition, set()).add(place)


def _page(found: Sequence[Raw], arguments: Mapping[str, Any]) -> dict[str, Any]:
    count = {"Count": len(found)}
    return count if arguments.get("Select") == "COUNT" else {"Items": found, **count}


def _place(item: Mapping[str, Any]) -> Place:
    return item["pk"]["S"], item["sk"]["S"]


def _partitions(item: Raw | None) -> list[tuple[str, str]]:
    """Where an item is found: in its own partition, and in that of each index that has it."""
    if item is None:
        return []
    indexed = [
        (name, item[partition]["S"])
        for name, (partition, sort, _) in INDEXES.items()
        if partition in item and sort in item
    ]
    return [("", item["pk"]["S"]), *indexed]


class _Waiter:
    def wait(self, **_options: Any) -> None:
        """The table is there."""
