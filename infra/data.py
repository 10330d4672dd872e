"""What is kept: the key, the table, the bucket and the queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import grants
from infra.buckets import log_bucket, private_bucket
from infra.nag import accept, seen_from, wildcard
from infra.settings import Settings

INDEXES: Mapping[str, tuple[str, str, Sequence[str]]] = {
    "lists": ("g1p", "g1s", ("f",)),
    "due": ("g2p", "g2s", ()),
    "expiry": ("g3p", "g3s", ()),
}
"""Index → its keys, and what it holds beside them; as `flowrunner.adapters.aws.schema` has it, a test compares."""

EXPIRES = "ttl"

RECEIVES = 5
"""After so many a message is a dead letter (lambda/latest/dg/services-sqs-configure.html asks for 5 at least)."""

VISIBILITY = 6
"""Times the function's timeout a message stays hidden (the same page)."""


class DataStack(Stack):
    """Everything that must not be lost, and the queues, which can be: frontiers are sent again."""

    def __init__(self, scope: Construct, id: str, settings: Settings) -> None:
        super().__init__(
            scope,
            id,
            description="flowrunner: what is kept",
            termination_protection=settings.keep_data,
        )
        self._settings = settings
        self._fate = RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY
        self.key = self._make_key()
        self.table = self._restored(self._make_table())
        self.access_logs = log_bucket(self, "AccessLogs", settings) if settings.access_logs else None
        self.bucket = private_bucket(
            self, "Objects", settings, key=self.key, access_logs=self.access_logs, prefix="objects/"
        )
        self.dead_letters = self._queue("DeadLetters", settings.executor_timeout)
        self.failed_events = self._queue("FailedEvents", settings.executor_timeout)
        accept(self.failed_events, "AwsSolutions-SQS3", "It is where events end that could not be handled.")
        self.fast = self._queue("Fast", settings.executor_timeout, self.dead_letters)
        self.slow = self._queue("Slow", settings.slow_timeout, self.dead_letters) if settings.slow_queue else None
        self._tell()

    @property
    def queues(self) -> list[sqs.IQueue]:
        """Those that steps travel through."""
        return [self.fast, self.slow] if self.slow else [self.fast]

    @property
    def store_url(self) -> str:
        """`store.url` of the functions, and of whoever administers the installation."""
        slow = f"&slow={self.slow.queue_url}" if self.slow else ""
        return (
            f"dynamodb://{self.table.table_name}?bucket={self.bucket.bucket_name}"
            f"&queue={self.fast.queue_url}{slow}&region={Aws.REGION}"
        )

    def storing(self, *, write_objects: bool = True) -> list[iam.PolicyStatement]:
        """What a function may do that works with the store."""
        return [
            *grants.items(self.table.table_arn, tuple(INDEXES)),
            *grants.objects(self.bucket, write=write_objects),
            grants.key_through_services(self.key),
        ]

    def accepted(self, reader: Stack) -> dict[str, str]:
        """The findings about `storing`, in that stack's roles."""
        bucket = seen_from(reader, self, self.bucket, self.bucket.bucket_arn, "Arn")
        return {wildcard(f"{bucket}/*"): "Objects have the keys that runs give them; the bucket holds nothing else."}

    def _make_key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            description=f"{self._settings.prefix}: table, objects, messages, logs and secrets",
            enable_key_rotation=True,
            removal_policy=self._fate,
            pending_window=Duration.days(30 if self._settings.keep_data else 7),
        )
        key.add_to_resource_policy(_service_use("logs", _LOGS, self._log_groups()))
        key.add_to_resource_policy(_service_use("cloudwatch", _ALARMS, _OWN_ACCOUNT))
        return key

    def _log_groups(self) -> dict[str, object]:
        """Only for this account's log groups (AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html)."""
        groups = self.format_arn(service="logs", resource="log-group:*")
        return {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}}

    def _make_table(self) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=_text("pk"),
            sort_key=_text("sk"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True, recovery_period_in_days=self._settings.backup_days
            ),
            time_to_live_attribute=EXPIRES,
            stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            deletion_protection=self._settings.keep_data,
            removal_policy=self._fate,
        )
        for name, (partition, sort, held) in INDEXES.items():
            table.add_global_secondary_index(
                index_name=name,
                partition_key=_text(partition),
                sort_key=_text(sort),
                projection_type=dynamodb.ProjectionType.INCLUDE if held else dynamodb.ProjectionType.KEYS_ONLY,
                non_key_attributes=list(held) or None,
            )
        return table

    def _restored(self, own: dynamodb.Table) -> dynamodb.ITable:
        """The table that a backup was restored to, if there is one: a backup never goes into the table that it is of.

        The stack's own table stays, and so do its exports: CloudFormation lets none go that another stack still uses,
        and stacks are deployed one after the other.
        """
        if not self._settings.restored_table:
            return own
        for value in (own.table_arn, own.table_name, own.table_stream_arn):
            self.export_value(value)
        return dynamodb.Table.from_table_attributes(
            self,
            "Restored",
            table_name=self._settings.restored_table,
            table_stream_arn=self._settings.restored_stream_arn,
        )

    def _queue(self, id: str, timeout: int, dead_letters: sqs.Queue | None = None) -> sqs.Queue:
        """A standard queue: fair between the groups of its messages, which are accounts."""
        return sqs.Queue(
            self,
            id,
            visibility_timeout=Duration.seconds(VISIBILITY * timeout),
            retention_period=Duration.days(14),
            receive_message_wait_time=Duration.seconds(20),
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self.key,
            # One request to KMS in an hour, not every five minutes, of each who sends or takes.
            data_key_reuse=Duration.hours(1),
            enforce_ssl=True,
            dead_letter_queue=sqs.DeadLetterQueue(max_receive_count=RECEIVES, queue=dead_letters)
            if dead_letters
            else None,
        )

    def _tell(self) -> None:
        """Outputs, by names on which others rely."""
        told = {
            "TableName": self.table.table_name,
            "BucketName": self.bucket.bucket_name,
            "QueueUrl": self.fast.queue_url,
            "SlowQueueUrl": (self.slow or self.fast).queue_url,
            "DeadLetterQueueUrl": self.dead_letters.queue_url,
            "FailedEventsQueueUrl": self.failed_events.queue_url,
            "KeyArn": self.key.key_arn,
            "StoreUrl": self.store_url,
        }
        for name, value in told.items():
            CfnOutput(self, f"{name}Output", value=value).override_logical_id(name)


_LOGS = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")
_ALARMS = ("kms:Decrypt", "kms:GenerateDataKey*")
"""To publish to an encrypted topic (sns/latest/dg/sns-key-management.html)."""

_OWN_ACCOUNT: dict[str, object] = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}


def _service_use(service: str, actions: Sequence[str], conditions: dict[str, object]) -> iam.PolicyStatement:
    """A service may use the key, under conditions. In a key's policy `*` is the key itself."""
    return iam.PolicyStatement(
        actions=list(actions),
        principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
        resources=["*"],
        conditions=conditions,
    )


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
