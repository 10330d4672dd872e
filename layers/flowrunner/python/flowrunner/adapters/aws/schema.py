"""The table: its keys, its indexes, and the version of what is in it.

On AWS the deployment makes the table; elsewhere the first start does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from flowrunner.adapters.aws.keys import Key
from flowrunner.adapters.aws.table import Refused, Table, code_of, number, translated
from flowrunner.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VERSION = 1

_VERSION_KEY = Key("M", "VERSION")

ATTRIBUTES = ("pk", "sk", "g1p", "g1s", "g2p", "g2s", "g3p", "g3s")
"""All keys are texts."""

INDEXES: Mapping[str, tuple[str, str, Sequence[str]]] = {
    "lists": ("g1p", "g1s", ("f",)),
    "due": ("g2p", "g2s", ()),
    "expiry": ("g3p", "g3s", ()),
}
"""Index → partition key, sort key, and what it holds beside the keys. Each is sparse: most items are in none."""

EXPIRES = "ttl"
"""The attribute by which DynamoDB removes items that nothing else hangs on."""


def definition(name: str) -> dict[str, Any]:
    """The table as `CreateTable` takes it. The deployment's template is held against this."""
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": _schema("pk", "sk"),
        "AttributeDefinitions": [{"AttributeName": one, "AttributeType": "S"} for one in ATTRIBUTES],
        "GlobalSecondaryIndexes": [
            {"IndexName": index, "KeySchema": _schema(partition, sort), "Projection": _projection(held)}
            for index, (partition, sort, held) in INDEXES.items()
        ],
    }


def migrate(table: Table, s3: S3Client, bucket: str) -> None:
    """Make the table if it is not there, and see that bucket and table are what this program expects.

    Raises `ConfigurationError`.
    """
    _make(table)
    _check_indexes(table)
    try:
        table.put({"pk": _VERSION_KEY.pk, "sk": _VERSION_KEY.sk, "v": VERSION}, "attribute_not_exists(pk)")
    except Refused as refused:
        stored = number(refused.item or {}, "v")
        if stored > VERSION:
            raise ConfigurationError(
                f"the table {table.name} has schema {stored}; this program knows schema {VERSION}",
                hint="upgrade flowrunner",
            ) from None
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        raise ConfigurationError(
            f"the bucket {bucket} cannot be used: {code_of(error)}", hint="it must exist; see store.url"
        ) from error
    except BotoCoreError as error:
        raise ConfigurationError(f"the bucket {bucket} cannot be reached: {type(error).__name__}") from error


def _make(table: Table) -> None:
    client = table.client
    with translated("DynamoDB"):
        try:
            client.describe_table(TableName=table.name)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            _create(table)
    try:
        client.get_waiter("table_exists").wait(TableName=table.name, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
    except WaiterError as error:
        raise ConfigurationError(f"the table {table.name} does not become ready") from error


def _create(table: Table) -> None:
    try:
        table.client.create_table(**definition(table.name))
    except ClientError as error:
        if code_of(error) == "ResourceInUseException":
            return  # another process makes it just now
        if code_of(error) == "AccessDeniedException":
            raise ConfigurationError(
                f"the table {table.name} is not there, and may not be made", hint="deploy it first"
            ) from None
        raise


def _check_indexes(table: Table) -> None:
    with translated("DynamoDB"):
        found = table.client.describe_table(TableName=table.name)["Table"]
    keys = {
        str(index.get("IndexName")): tuple(one["AttributeName"] for one in index.get("KeySchema", ()))
        for index in found.get("GlobalSecondaryIndexes", ())
    }
    missing = [name for name, (partition, sort, _) in INDEXES.items() if keys.get(name) != (partition, sort)]
    own = tuple(one["AttributeName"] for one in found.get("KeySchema", ()))
    if own != ("pk", "sk") or missing:
        what = f"lacks the index {missing[0]}" if missing else "has other keys"
        raise ConfigurationError(f"the table {table.name} is not one of flowrunner's: it {what}")


def _schema(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]


def _projection(held: Sequence[str]) -> dict[str, Any]:
    if not held:
        return {"ProjectionType": "KEYS_ONLY"}
    return {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(held)}
