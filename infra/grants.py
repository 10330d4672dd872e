"""What functions may do, as statements of their roles: exact actions on exact resources.

The fewest that the adapters need (`flowrunner.adapters.aws`); a test holds the actions of each function against a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

ITEMS = (
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
)

THROUGH_SERVICES = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
"""What DynamoDB asks of KMS in the caller's name (amazondynamodb/latest/developerguide/encryption.usagenotes.html); S3
and SQS need less."""


def statement(
    actions: Sequence[str], resources: Sequence[str], conditions: Mapping[str, object] | None = None
) -> iam.PolicyStatement:
    """Allow this."""
    return iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=dict(conditions or {}))


def items(table_arn: str, indexes: Sequence[str]) -> list[iam.PolicyStatement]:
    """Read and write items; indexes can only be queried."""
    return [
        statement(ITEMS, [table_arn]),
        statement(["dynamodb:Query"], [f"{table_arn}/index/{name}" for name in indexes]),
    ]


def objects(bucket: s3.IBucket, *, write: bool) -> list[iam.PolicyStatement]:
    """Read and list objects, and write and remove them."""
    actions = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"] if write else ["s3:GetObject"]
    return [
        statement(actions, [bucket.arn_for_objects("*")]),
        statement(["s3:ListBucket"], [bucket.bucket_arn]),
    ]


def sending(*queues: sqs.IQueue) -> iam.PolicyStatement:
    """Send messages."""
    return statement(["sqs:SendMessage"], [queue.queue_arn for queue in queues])


def measuring(*queues: sqs.IQueue) -> iam.PolicyStatement:
    """Ask how much waits in a queue."""
    return statement(["sqs:GetQueueAttributes"], [queue.queue_arn for queue in queues])


def taking(*queues: sqs.IQueue) -> iam.PolicyStatement:
    """What an event source needs of its function's role (lambda/latest/dg/with-sqs.html)."""
    actions = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    return statement(actions, [queue.queue_arn for queue in queues])


def key_through_services(key: kms.IKey, *names: str) -> iam.PolicyStatement:
    """Use the key, but only for what these services encrypt with it: DynamoDB, S3 and SQS if none is named."""
    services = [f"{name}.{Aws.REGION}.{Aws.URL_SUFFIX}" for name in names or ("dynamodb", "s3", "sqs")]
    return statement(THROUGH_SERVICES, [key.key_arn], {"StringEquals": {"kms:ViaService": services}})


def vault(key: kms.IKey) -> iam.PolicyStatement:
    """Encrypt and decrypt secrets. KMS refuses what does not say whose they are (`services.secret_box`)."""
    whose = {"Null": {f"kms:EncryptionContext:{name}": "false" for name in ("account", "purpose", "secret")}}
    return statement(["kms:Decrypt", "kms:GenerateDataKey"], [key.key_arn], whose)
