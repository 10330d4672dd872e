"""One DynamoDB table through the few operations that the stores need.

A condition that does not hold is an answer (`Refused`), never an error. What AWS refuses otherwise, or does not
answer after botocore has tried again, is a `StoreError`, told apart by its code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock, current_thread
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from flowrunner.adapters.aws.keys import Key
from flowrunner.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Value = str | int | bytes
Item = dict[str, Value]
"""An item: texts, whole numbers and bytes by attribute."""

READ_AT_ONCE = 100
WRITE_AT_ONCE = 25
"""What DynamoDB takes in one batch."""

CONFLICTS = 20
"""Writes refused in a row because of transactions that were under way, after which we give up."""

ROUNDS = 12
"""The same for what a batch leaves undone."""

THREADS = 8
POOL = "flowrunner-dynamodb"

T = TypeVar("T")
R = TypeVar("R")


class Refused(Exception):
    """The condition of a write did not hold: an answer, which never leaves the adapter.

    `item` is what was there, None for nothing.
    """

    def __init__(self, item: Item | None = None) -> None:
        super().__init__()
        self.item = item


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what botocore raises into `StoreError`."""
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        raise StoreError(f"{what} refused: {code}", hint=_HINTS.get(code), code=code) from error
    except BotoCoreError as error:
        raise StoreError(f"{what} did not answer: {type(error).__name__}") from error


_HINTS = {
    "ResourceNotFoundException": "does the table exist, in this region?",
    "AccessDeniedException": "the role lacks a permission",
    "UnrecognizedClientException": "check the AWS credentials",
}


def code_of(error: ClientError) -> str:
    """The machine-readable code of what AWS refused."""
    return str(error.response.get("Error", {}).get("Code", ""))


class Table:
    """See the module. Reads are consistent unless they use an index. Safe for several threads."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self.client = client
        self.name = name
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()

    # -- one item -----------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Item | None:
        with translated("DynamoDB"):
            found = self.client.get_item(TableName=self.name, Key=_key(key), ConsistentRead=True)
        return read_item(found["Item"]) if "Item" in found else None

    def put(self, item: Item, condition: str = "", values: Mapping[str, Value] | None = None) -> Item | None:
        """Write an item and answer the one before. Raises `Refused`."""
        answer = self._write("put_item", {"Item": write_item(item), "ReturnValues": "ALL_OLD"}, condition, values)
        return read_item(answer["Attributes"]) if answer.get("Attributes") else None

    def update(
        self, key: Key, change: str, values: Mapping[str, Value], condition: str = "", answer: str = "NONE"
    ) -> Item:
        """Change an item; the answer is what `answer` (ReturnValues) asks for. Raises `Refused`."""
        what = {"Key": _key(key), "UpdateExpression": change, "ReturnValues": answer}
        return read_item(self._write("update_item", what, condition, values).get("Attributes", {}))

    def delete(self, key: Key, condition: str = "", values: Mapping[str, Value] | None = None) -> Item | None:
        """Remove an item and answer what was there. Raises `Refused`."""
        answer = self._write("delete_item", {"Key": _key(key), "ReturnValues": "ALL_OLD"}, condition, values)
        return read_item(answer["Attributes"]) if answer.get("Attributes") else None

    def _write(
        self, call: str, what: dict[str, Any], condition: str, values: Mapping[str, Value] | None
    ) -> Mapping[str, Any]:
        if condition:
            what |= {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        if values:
            what["ExpressionAttributeValues"] = write_item(values)
        for _ in range(CONFLICTS):
            with translated("DynamoDB"):
                try:
                    answer: Mapping[str, Any] = getattr(self.client, call)(TableName=self.name, **what)
                except ClientError as error:
                    if code_of(error) == "TransactionConflictException":
                        continue  # botocore does not repeat it by itself
                    if code_of(error) != "ConditionalCheckFailedException":
                        raise
                    old: Any = error.response.get("Item")
                    raise Refused(read_item(old) if old else None) from None
            return answer
        raise StoreError("transactions were in the way each time; try again")

    # -- many items ---------------------------------------------------------------------------------------------

    def query(
        self,
        condition: str,
        values: Mapping[str, Value],
        *,
        index: str = "",
        keep: str = "",
        limit: int = 0,
        descending: bool = False,
    ) -> Iterator[Item]:
        """Items in the order of their sort key, page by page as they are taken.

        `keep` is a filter that DynamoDB applies; `limit` is the size of a page: how many the caller means to take.
        """
        what: dict[str, Any] = {
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": write_item(values),
            "ScanIndexForward": not descending,
            **({"IndexName": index} if index else {"ConsistentRead": True}),
            **({"FilterExpression": keep} if keep else {}),
            **({"Limit": limit} if limit else {}),
        }
        while True:
            with translated("DynamoDB"):
                page = self.client.query(TableName=self.name, **what)
            yield from (read_item(item) for item in page["Items"])
            if not page.get("LastEvaluatedKey"):
                return
            what["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def count(self, condition: str, values: Mapping[str, Value], *, index: str, keep: str, limit: int) -> int:
        """How many items a query has, counted page by page up to `limit`."""
        what: dict[str, Any] = {
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": write_item(values),
            "IndexName": index,
            "Select": "COUNT",
            **({"FilterExpression": keep} if keep else {"Limit": limit}),
        }
        total = 0
        while total < limit:
            with translated("DynamoDB"):
                page = self.client.query(TableName=self.name, **what)
            total += page["Count"]
            if not page.get("LastEvaluatedKey"):
                break
            what["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return min(total, limit)

    def get_all(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """The items of these keys that are there."""
        wanted = list(dict.fromkeys(keys))
        if len(wanted) == 1:
            found = self.get(wanted[0])
            return {wanted[0]: found} if found is not None else {}
        items: dict[Key, Item] = {}
        for start in range(0, len(wanted), READ_AT_ONCE):
            left: Any = {"Keys": [_key(one) for one in wanted[start : start + READ_AT_ONCE]], "ConsistentRead": True}
            for _ in range(ROUNDS):
                with translated("DynamoDB"):
                    answer = self.client.batch_get_item(RequestItems={self.name: left})
                for raw in answer["Responses"].get(self.name, []):
                    item = read_item(raw)
                    items[key_of(item)] = item
                left = answer.get("UnprocessedKeys", {}).get(self.name)
                if not left:
                    break
            else:
                raise StoreError("DynamoDB left a part of a batch unread each time")
        return items

    def delete_all(self, keys: Iterable[Key]) -> None:
        """Remove items, there or not."""
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), WRITE_AT_ONCE):
            left: Any = [{"DeleteRequest": {"Key": _key(one)}} for one in wanted[start : start + WRITE_AT_ONCE]]
            for _ in range(ROUNDS):
                with translated("DynamoDB"):
                    answer = self.client.batch_write_item(RequestItems={self.name: left})
                left = answer.get("UnprocessedItems", {}).get(self.name)
                if not left:
                    break
            else:
                raise StoreError("DynamoDB left a part of a batch undone each time")

    def transact(self, writes: Sequence[Write]) -> None:
        """All writes or none. Raises `Refused` with what the first failed condition found.

        botocore sends a token with it, so a repeated request is applied once.
        """
        for _ in range(CONFLICTS):
            with translated("DynamoDB"):
                try:
                    self.client.transact_write_items(TransactItems=[one.request(self.name) for one in writes])  # type: ignore[misc]  # typed by key, made in one place
                except ClientError as error:
                    if code_of(error) == "TransactionInProgressException":
                        continue
                    if code_of(error) != "TransactionCanceledException":
                        raise
                    reasons: Sequence[Any] = error.response.get("CancellationReasons", ())
                    failed = [one for one in reasons if one.get("Code") == "ConditionalCheckFailed"]
                    if failed:
                        old = failed[0].get("Item")
                        raise Refused(read_item(old) if old else None) from None
                    if not any(one.get("Code") == "TransactionConflict" for one in reasons):
                        raise
                    continue
            return
        raise StoreError("other transactions were in the way each time; try again")

    def each(self, work: Callable[[T], R], things: Sequence[T]) -> list[R]:
        """Do the same with several things at once; the answers in their order.

        What `work` itself wants done at once is done one after the other: its threads would wait for each other.
        """
        if len(things) < 2 or current_thread().name.startswith(POOL):
            return [work(thing) for thing in things]
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=POOL)
            pool = self._pool
        return list(pool.map(work, things))

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        self.client.close()


class Write:
    """One write of a transaction: a put of `item`, or a delete of `key`."""

    def __init__(
        self,
        condition: str = "",
        values: Mapping[str, Value] | None = None,
        *,
        put: Item | None = None,
        delete: Key | None = None,
    ) -> None:
        self._condition = condition
        self._values = values
        self._put = put
        self._delete = delete

    def request(self, table: str) -> dict[str, Any]:
        """As `TransactWriteItems` takes it."""
        what: dict[str, Any] = {"TableName": table}
        if self._condition:
            what |= {"ConditionExpression": self._condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        if self._values:
            what["ExpressionAttributeValues"] = write_item(self._values)
        if self._put is not None:
            return {"Put": what | {"Item": write_item(self._put)}}
        assert self._delete is not None, "a write puts or deletes"
        return {"Delete": what | {"Key": _key(self._delete)}}


def write_item(item: Mapping[str, Value]) -> dict[str, Any]:
    """An item in DynamoDB's own notation."""
    return {name: _write_value(value) for name, value in item.items()}


def read_item(raw: Mapping[str, Any]) -> Item:
    return {name: _read_value(value) for name, value in raw.items()}


def key_of(item: Mapping[str, Value]) -> Key:
    return Key(str(item["pk"]), str(item["sk"]))


def text(item: Mapping[str, Value], name: str) -> str:
    """A text attribute; empty if there is none."""
    return str(item.get(name, ""))


def number(item: Mapping[str, Value], name: str) -> int:
    """A number attribute; 0 if there is none."""
    return int(item.get(name, 0))


def optional(item: Mapping[str, Value], name: str) -> int | None:
    """A number attribute, if there is one."""
    return int(item[name]) if name in item else None


def octets(item: Mapping[str, Value], name: str) -> bytes:
    """A binary attribute; empty if there is none."""
    value = item.get(name, b"")
    assert isinstance(value, bytes), f"{name} is binary"
    return value


def _key(key: Key) -> dict[str, Any]:
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


def _write_value(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    return {"B": value} if isinstance(value, bytes) else {"N": str(value)}


def _read_value(raw: Mapping[str, Any]) -> Value:
    if "S" in raw:
        return str(raw["S"])
    return bytes(raw["B"]) if "B" in raw else int(raw["N"])
