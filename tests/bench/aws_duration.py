"""How long an invocation takes on Lambda: its own work is measured here, what it waits for is reckoned.

An executor with boto3's own clients handles messages of a linear flow, with moto in a process of its own behind them.
What counts is the time that *this* process works for a warm invocation (`time.process_time`): signing, sending and
reading requests, and everything of ours. A function with 512 MB has 512/1769 of a processor (docs.aws.amazon.com/lambda,
"Configure Lambda function memory"), so that takes 3.5 times as long there, if its processor is like this one's. What it
waits for meanwhile are so many round trips to DynamoDB and SQS in the same region: `TABLE_MS` and `QUEUE_MS`, which are
assumptions ("single-digit milliseconds"), and are to be replaced by what the dashboard shows of a deployment.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flowrunner.adapters.aws.backend import TRUST, DynamoBackend
from flowrunner.adapters.aws.clients import Clients
from flowrunner.adapters.local.clock import SystemClock, SystemDraws
from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.bootstrap import LazyHttp
from flowrunner.engine.engine import Engine, Parts
from flowrunner.engine.invocation import InvocationSettings
from flowrunner.engine.starter import StartRequest
from flowrunner.nodes.registry import Registry
from flowrunner.sandbox.evaluator import Sandbox

from tests.bench.aws_units import SAMPLE, linear

FULL_PROCESSOR_MB = 1769
MEMORY_MB = 512
TABLE_MS = 4.0
QUEUE_MS = 8.0
CALLS = {"with effects": (5, 1), "without effects": (4, 1), "express": (2, 0)}
"""Round trips of a step to the table and to the queue, one after the other (`aws_units --calls`)."""
STEPS = 30
PATIENCE = 30.0


@dataclass(frozen=True)
class Duration:
    """Of one step, in milliseconds."""

    name: str
    work: float
    waits: float

    @property
    def billed(self) -> float:
        return self.work * FULL_PROCESSOR_MB / MEMORY_MB + self.waits


@contextmanager
def moto_process() -> Iterator[str]:
    """Moto behind a port of this machine, in a process of its own; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"{url}/moto-api/", timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def executor() -> Iterator[tuple[Engine, Any, str]]:
    """A warm executor's engine, its client of SQS, and the queue."""
    with moto_process() as url:
        os.environ |= {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        clients = Clients("us-east-1")
        s3, sqs = clients.s3(), clients.sqs()
        s3.create_bucket(Bucket="bench")
        queue = sqs.create_queue(QueueName="fast")["QueueUrl"]
        backend = DynamoBackend(
            clients.dynamodb(), s3, "bench", "bench", SystemClock(), SystemDraws(), sqs=sqs, queue=queue, trust=TRUST
        )
        backend.migrate()
        parts = Parts(backend, Registry(), Sandbox(), LocalSecrets({}), LazyHttp([]), SystemClock(), SystemDraws())
        engine = Engine(parts)
        try:
            yield engine, sqs, queue
        finally:
            engine.close()


def worked(engine: Engine, sqs: Any, queue: str, document: str) -> float:
    """Milliseconds that this process works for each step of a run, its first ones left out."""
    row = engine.save_flow(SAMPLE, document)
    engine.start(StartRequest(SAMPLE, row.id, row.revision, {"value": 1}))
    invocations = engine.invocations(InvocationSettings())
    adopt = engine.parts.backend.queue.adopt  # type: ignore[attr-defined]  # the queue is SQS's
    spent: list[float] = []
    while messages := sqs.receive_message(QueueUrl=queue, AttributeNames=["All"]).get("Messages"):
        [message] = messages
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:fast",
        }
        begun = time.process_time()
        failed = invocations.handle(adopt([record]), engine.parts.clock.now() + 60_000, message["MessageId"])
        spent.append((time.process_time() - begun) * 1000)
        assert not failed
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    if len(spent) == 1:  # express: one invocation for all
        return spent[0] / STEPS
    warm = sorted(spent[3:])
    return warm[len(warm) // 2]


def durations() -> list[Duration]:
    """Of a step of each kind; what has effects is timed as what has none, and a claim more."""
    with executor() as (engine, sqs, queue):
        worked(engine, sqs, queue, linear(STEPS, effects=False))
        pure = worked(engine, sqs, queue, linear(STEPS, effects=False))
        worked(engine, sqs, queue, linear(STEPS, effects=False, express=True))
        express = worked(engine, sqs, queue, linear(STEPS, effects=False, express=True))
    call = pure / sum(CALLS["without effects"])
    found = {"with effects": pure + call, "without effects": pure, "express": express}
    return [Duration(name, work, CALLS[name][0] * TABLE_MS + CALLS[name][1] * QUEUE_MS) for name, work in found.items()]


def main() -> None:
    print("| a step | works here, ms | waits, ms | billed at 512 MB, ms |\n| --- | --- | --- | --- |")
    for one in durations():
        print(f"| {one.name} | {one.work:.1f} | {one.waits:.0f} | {one.billed:.0f} |")


if __name__ == "__main__":
    main()
