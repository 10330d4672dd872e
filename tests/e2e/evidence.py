"""What the emulator has seen of messages: deliveries that came to nothing, and dead letters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from tests.e2e.emulator import REGION
from tests.e2e.installation import Installation

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

RETURNED = re.compile(r"processed \d+ SQS messages from \S+ \((\d+) partial failures\)")
BROKEN = "failed processing SQS batch"
SLOW = "did not answer"
"""What a function says when the emulator was too slow for it: a fault of the store, after which a message comes again."""


@dataclass(frozen=True)
class Evidence:
    """Read from the emulator's own log, and from the logs of the functions. `poisoned`: runs made to fail."""

    installation: Installation
    folder: Path

    def client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]  # any of those that are used here
            endpoint_url=self.installation.emulator,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @property
    def sqs(self) -> SQSClient:
        client: SQSClient = self.client("sqs")
        return client

    def poison(self, mark: str) -> None:
        """From now on what has this mark is meant to fail."""
        with (self.folder / "poisoned").open("a") as file:
            file.write(f"{mark}\n")

    def poisoned(self) -> list[str]:
        file = self.folder / "poisoned"
        return file.read_text().split() if file.exists() else []

    def said(self, function: str) -> Iterator[dict[str, Any]]:
        """The lines of a function's log that are JSON."""
        logs = self.client("logs")
        for group in logs.describe_log_groups()["logGroups"]:
            if re.search(rf"{function}Logs\w{{8}}$", group["logGroupName"]):
                for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
                    for event in page["events"]:
                        if event["message"].startswith("{"):
                            yield json.loads(event["message"])
        logs.close()

    def check(self) -> None:
        """Everything was delivered once, but for what was poisoned; nothing else is a dead letter."""
        log = (self.folder / "emulator.log").read_text(errors="replace")
        assert BROKEN not in log, "a function failed over its messages: its receive counts are above 1"
        returned = sum(int(count) for count in RETURNED.findall(log))
        marks = self.poisoned()
        trouble = [line for name in ("Executor", "ExecutorSlow") for line in self.said(name) if _is_trouble(line)]
        explained = [line for line in trouble if SLOW in line["message"] or any(mark in str(line) for mark in marks)]
        assert returned <= len(explained), f"{returned} messages came again; {trouble}"
        dead = [line for line in self.said("DeadLetter") if _is_trouble(line)]
        assert [line for line in dead if not any(mark in str(line) for mark in marks)] == []


def _is_trouble(line: dict[str, Any]) -> bool:
    return line.get("level") in {"warning", "error"}
