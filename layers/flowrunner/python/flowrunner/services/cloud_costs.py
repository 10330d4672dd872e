"""What AWS charges for what we use of it: prices with their sources, what a step needs, an idle month, a loaded one.

Everything is counted in units that AWS bills, so the same few functions answer for a step, a run and a month: units
times `PRICES` are dollars. List prices of us-east-1, as of 2026-11, without the free tier; docs/aws-costs.md explains
the model and has the figures that `scripts/bench aws` counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from flowrunner.errors import InvalidInput

MILLION = 1_000_000
KILOBYTE = 1024
GIGABYTE = 1024**3
HOURS = 730
"""Of a month, as AWS reckons."""
MINUTES = HOURS * 60

REGION = "us-east-1"
CHECKED = "2026-11"
MEMORY_GB = 0.5
"""What a function is given."""


@dataclass(frozen=True, slots=True)
class Price:
    """What so many units of something cost. `source` is the page of AWS that says so."""

    what: str
    dollars: float
    per: int
    unit: str
    source: str

    @property
    def each(self) -> float:
        """Dollars for one unit."""
        return self.dollars / self.per


_DYNAMODB = "aws.amazon.com/dynamodb/pricing/on-demand"
_SQS = "aws.amazon.com/sqs/pricing"
_LAMBDA = "aws.amazon.com/lambda/pricing"
_S3 = "aws.amazon.com/s3/pricing"
_KMS = "aws.amazon.com/kms/pricing"
_GATEWAY = "aws.amazon.com/api-gateway/pricing"
_EVENTS = "aws.amazon.com/eventbridge/pricing"
_CLOUDWATCH = "aws.amazon.com/cloudwatch/pricing"

PRICES: Mapping[str, Price] = {
    "write_units": Price("DynamoDB, written", 0.625, MILLION, "write units of 1 KB", _DYNAMODB),
    "read_units": Price("DynamoDB, read", 0.125, MILLION, "read units of 4 KB", _DYNAMODB),
    "queue_requests": Price("SQS, standard queue", 0.40, MILLION, "requests", _SQS),
    "fair_messages": Price("SQS, fair queue, on top", 0.10, MILLION, "messages sent with a group", _SQS),
    "invocations": Price("Lambda, invoked", 0.20, MILLION, "requests", _LAMBDA),
    "gb_seconds": Price("Lambda, arm64", 13.3334, MILLION, "GB-seconds", _LAMBDA),
    "object_writes": Price("S3, written", 5.00, MILLION, "PUT requests", _S3),
    "object_reads": Price("S3, read", 0.40, MILLION, "GET requests", _S3),
    "key_requests": Price("KMS, used", 3.00, MILLION, "requests", _KMS),
    "api_requests": Price("API Gateway, HTTP API", 1.00, MILLION, "requests", _GATEWAY),
    "socket_messages": Price("API Gateway, WebSocket", 1.00, MILLION, "messages of 32 KB", _GATEWAY),
    "socket_minutes": Price("API Gateway, WebSocket", 0.25, MILLION, "connection minutes", _GATEWAY),
    "ticks": Price("EventBridge Scheduler", 1.00, MILLION, "invocations", _EVENTS),
    "logged_gb": Price("CloudWatch, logged", 0.50, 1, "GB", _CLOUDWATCH),
    "logs_gb": Price("CloudWatch, logs kept", 0.03, 1, "GB-months", _CLOUDWATCH),
    "alarms": Price("CloudWatch, alarms", 0.10, 1, "alarms", _CLOUDWATCH),
    "metrics": Price("CloudWatch, metrics of our own", 0.30, 1, "metrics", _CLOUDWATCH),
    "dashboards": Price("CloudWatch, dashboards (three of an account are free)", 3.00, 1, "dashboards", _CLOUDWATCH),
    "keys": Price("KMS, key", 1.00, 1, "keys", _KMS),
    "table_gb": Price("DynamoDB, stored", 0.25, 1, "GB-months", _DYNAMODB),
    "backup_gb": Price("DynamoDB, point-in-time recovery", 0.20, 1, "GB-months", _DYNAMODB),
    "bucket_gb": Price("S3, stored", 0.023, 1, "GB-months", _S3),
}


@dataclass(frozen=True, slots=True)
class Units:
    """So much of each thing that AWS bills; the names are those of `PRICES`."""

    write_units: float = 0.0
    read_units: float = 0.0
    queue_requests: float = 0.0
    fair_messages: float = 0.0
    invocations: float = 0.0
    gb_seconds: float = 0.0
    object_writes: float = 0.0
    object_reads: float = 0.0
    key_requests: float = 0.0
    api_requests: float = 0.0
    socket_messages: float = 0.0
    socket_minutes: float = 0.0
    ticks: float = 0.0
    logged_gb: float = 0.0
    logs_gb: float = 0.0
    alarms: float = 0.0
    metrics: float = 0.0
    dashboards: float = 0.0
    keys: float = 0.0
    table_gb: float = 0.0
    backup_gb: float = 0.0
    bucket_gb: float = 0.0

    def __add__(self, other: Units) -> Units:
        return Units(**{name: getattr(self, name) + getattr(other, name) for name in PRICES})

    def __mul__(self, factor: float) -> Units:
        return Units(**{name: getattr(self, name) * factor for name in PRICES})


assert tuple(PRICES) == tuple(field.name for field in fields(Units)), "a unit and its price go by one name"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a bill."""

    what: str
    units: Units

    @property
    def dollars(self) -> float:
        return dollars(self.units)


def dollars(units: Units) -> float:
    """What these units cost."""
    return sum((float(getattr(units, name)) * price.each for name, price in PRICES.items()), 0.0)


def per_million(units: Units) -> float:
    """Dollars for a million times these units."""
    return dollars(units) * MILLION


def total(lines: Sequence[Line]) -> float:
    """Dollars in all."""
    return sum(line.dollars for line in lines)


def billed_ms(milliseconds: float) -> float:
    """GB-seconds of a function that worked so long."""
    return milliseconds / 1000 * MEMORY_GB


# -- what a step and a run need, as `scripts/bench aws` counts it -----------------------------------------------------

STEP_MS = 70.0
"""Billed around a step's own work: reading, claiming, committing, sending (`tests/bench/aws_duration.py`)."""
EXPRESS_MS = 27.0
"""The same of a step inside an invocation that goes on."""
STEP = Units(
    write_units=3, read_units=1, queue_requests=3, fair_messages=1, invocations=1, gb_seconds=billed_ms(STEP_MS)
)
"""A step with effects outside, with an output under 1 KB. One without is not claimed, and writes 2."""
EXPRESS_STEP = Units(write_units=2, gb_seconds=billed_ms(EXPRESS_MS))
RUN = Units(write_units=12, read_units=5, invocations=1, gb_seconds=billed_ms(STEP_MS), api_requests=1)
"""Its items, their places in the indexes, its end, and the request that starts it, which looks up who asks."""
EXPRESS_RUN = RUN + Units(
    write_units=1, read_units=2, queue_requests=3, fair_messages=1, invocations=1, gb_seconds=billed_ms(STEP_MS)
)
"""With the invocation that its steps share."""
FOLLOWED_MS = 45.0
"""Billed for a batch of 100 commits, by the function behind the table's stream (`tests/bench/aws_stream.py`)."""
FOLLOWED = Units(
    write_units=0.022,
    read_units=0.022,
    invocations=0.011,
    gb_seconds=0.011 * billed_ms(FOLLOWED_MS),
    logged_gb=20 / GIGABYTE,
)
"""What follows from a step's commit, and from a tenth of a run's start: live events, webhooks, usage, metrics.

In full batches, as under load: counting a flow's day is a write of 2 units for each of them. A commit that comes alone
costs as much as a hundred.
"""

STEP_BYTES = 1100
"""What a step leaves in the table: its row, and its share of the rest."""
INLINE = 1024
IN_TABLE = 200 * KILOBYTE
"""What an output may weigh, compressed, to be in its row, and to be in the table at all."""


def output_units(size: int) -> Units:
    """What a step's output of so many (compressed) bytes adds: it is written once and read once."""
    if size <= INLINE:
        return Units()
    if size <= IN_TABLE:
        return Units(write_units=-(-size // KILOBYTE), read_units=-(-size // (4 * KILOBYTE)))
    return Units(object_writes=1, object_reads=1)


# -- a month ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deployment:
    """What costs the same whether anything runs or not."""

    event_sources: int = 3
    """Queues that Lambda asks for messages: fast, slow and dead letters."""
    alarms: int = 10
    """As many as the preset `prod` has; `dev` has none."""
    metrics: int = 0
    """Metrics of our own that are emitted in every hour, also an idle one."""
    dashboards: int = 0
    """Beyond the three that are free in an account."""
    tick_reads: float = 8.0
    """Read units of one round of the scheduler that finds nothing: its queries of indexes, half a unit each."""
    tick_ms: float = 100.0
    tick_log: int = 500
    """Bytes that Lambda itself logs of it."""
    retention_days: int = 30


POLLERS = 5
"""Long polls of an event source at once while its queue is empty
(docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html)."""
POLL_SECONDS = 20
KEY_PERIOD_MINUTES = 5
"""DynamoDB asks KMS again so often while a table is in use
(docs.aws.amazon.com/kms/latest/developerguide/services-dynamodb.html)."""


def idle_month(deployment: Deployment | None = None) -> list[Line]:
    """The bill of a month in which nothing runs, item by item."""
    deployment = deployment or Deployment()
    tick = Units(
        ticks=1,
        invocations=1,
        gb_seconds=billed_ms(deployment.tick_ms),
        read_units=deployment.tick_reads,
        logged_gb=deployment.tick_log / GIGABYTE,
    )
    polls = deployment.event_sources * POLLERS * HOURS * 3600 / POLL_SECONDS
    return [
        Line("the key that encrypts everything", Units(keys=1)),
        Line("requests to it, as the table is looked at", Units(key_requests=2 * MINUTES / KEY_PERIOD_MINUTES)),
        Line(f"asking {deployment.event_sources} queues for messages", Units(queue_requests=polls)),
        Line("the scheduler, each minute", tick * MINUTES),
        Line(f"{deployment.alarms} alarms", Units(alarms=deployment.alarms)),
        Line("metrics of our own", Units(metrics=deployment.metrics)),
        Line("the dashboard (three of an account are free)", Units(dashboards=deployment.dashboards)),
    ]


@dataclass(frozen=True, slots=True)
class Load:
    """What a month brings."""

    runs: int = 0
    steps: int = 10
    """Of a run."""
    payload: int = 500
    """Bytes of a step's output, compressed."""
    work_ms: int = 0
    """What a step's node works or waits for an answer, on average."""
    express: bool = False

    @classmethod
    def parse(cls, text: str) -> Load:
        """`runs=100000,steps=10,payload=2000,work_ms=150,express=1`; what is left out keeps its default.

        Raises `InvalidInput`.
        """
        given: dict[str, Any] = {}
        for part in filter(None, (one.strip() for one in text.split(","))):
            name, _, value = part.partition("=")
            if name not in _LOAD or not (value.isascii() and value.isdigit()):
                raise InvalidInput(f"{part!r} is not part of a load", hint=f"name=number, with {', '.join(_LOAD)}")
            given[name] = bool(int(value)) if name == "express" else int(value)
        return cls(**given)


_LOAD = tuple(field.name for field in fields(Load))


def month(load: Load, deployment: Deployment | None = None) -> list[Line]:
    """The bill of a month with this load, item by item; what costs nothing is left out."""
    deployment = deployment or Deployment()
    count = load.runs * load.steps
    in_table = load.payload <= IN_TABLE
    months = deployment.retention_days / 30
    table = count * (STEP_BYTES + (load.payload if in_table else 0)) / GIGABYTE * months
    bucket = 0.0 if in_table else count * load.payload / GIGABYTE * months
    lines = [
        *idle_month(deployment),
        Line(f"{load.runs:,} runs started and ended", (EXPRESS_RUN if load.express else RUN) * load.runs),
        Line(f"{count:,} steps", (EXPRESS_STEP if load.express else STEP) * count),
        Line("live events, webhooks, usage and metrics", FOLLOWED * count),
        Line("outputs above 1 KB", output_units(load.payload) * count),
        Line("what the nodes work", Units(gb_seconds=billed_ms(load.work_ms)) * count),
        Line(f"{deployment.retention_days} days of history", Units(table_gb=table, backup_gb=table, bucket_gb=bucket)),
    ]
    return [line for line in lines if line.dollars]
