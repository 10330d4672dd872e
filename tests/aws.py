"""AWS in this process: moto, with one table and one bucket for each test."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from flowrunner.adapters.aws.backend import DynamoBackend
from flowrunner.adapters.aws.clients import Clients
from flowrunner.adapters.local.clock import SystemClock, SystemDraws
from flowrunner.ports.clock import Clock
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.sqs import models

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

botocore.session.create_loader = cache(botocore.session.create_loader)
"""Or every session would read AWS's descriptions of its services anew, which takes a tenth of a second."""

REGION = "eu-west-1"
TABLE = "flowrunner"
BUCKET = "flowrunner-blobs"
RETENTION = "1209600"
"""Seconds for which the deployment's queues keep a message: 14 days, the longest there is."""

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION}
ELSEWHERE = ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION")
"""Variables that would lead out of this process."""


@dataclass
class Cloud:
    """What a test has of AWS, without a schema yet."""

    clients: Clients
    dynamodb: DynamoDBClient
    s3: S3Client
    made: list[DynamoBackend] = field(default_factory=list)

    def backend(
        self, clock: Clock | None = None, dynamodb: DynamoDBClient | None = None, **settings: Any
    ) -> DynamoBackend:
        """A process's view of it: several of them share the table and nothing else that they know of."""
        backend = DynamoBackend(
            dynamodb or self.dynamodb,
            self.s3,
            TABLE,
            BUCKET,
            clock or SystemClock(),
            SystemDraws(),
            **settings,
        )
        self.made.append(backend)
        return backend

    def queued(self, clock: Clock, **settings: Any) -> DynamoBackend:
        """The same with the two queues of SQS, which are made when they are not there."""
        sqs = self.clients.sqs()
        attributes: Any = {"MessageRetentionPeriod": RETENTION, "ReceiveMessageWaitTimeSeconds": "20"}
        fast, slow = (sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"] for name in ("fast", "slow"))
        return self.backend(clock, sqs=sqs, queue=fast, slow=slow, **settings)


@contextmanager
def sqs_time(clock: Clock) -> Iterator[None]:
    """Let SQS go by a clock that the test turns."""
    turned = {"unix_time_millis": lambda: float(clock.now()), "unix_time": lambda: clock.now() / 1000}
    before = {name: vars(models)[name] for name in turned}
    vars(models).update(turned)
    try:
        yield
    finally:
        vars(models).update(before)


@contextmanager
def cloud() -> Iterator[Cloud]:
    """An empty account of AWS."""
    before = {name: os.environ.get(name) for name in (*CREDENTIALS, *ELSEWHERE)}
    for name in ELSEWHERE:
        os.environ.pop(name, None)
    os.environ.update(CREDENTIALS)
    try:
        with one_at_a_time(), mock_aws():
            clients = Clients(REGION)
            made = Cloud(clients, clients.dynamodb(), clients.s3())
            made.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
            yield made
            for backend in made.made:
                backend.close()
            made.dynamodb.close()
            made.s3.close()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one request in at a time: moto looks at a condition and writes without holding a lock in between."""
    lock = threading.RLock()
    original = BotocoreStubber.__call__

    def call(self: BotocoreStubber, *args: Any, **kwargs: Any) -> Any:
        with lock:
            return original(self, *args, **kwargs)

    BotocoreStubber.__call__ = call  # type: ignore[method-assign]  # moto has no hook for it
    try:
        yield
    finally:
        BotocoreStubber.__call__ = original  # type: ignore[method-assign]  # back to what it was
