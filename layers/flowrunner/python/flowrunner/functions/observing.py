"""Logs, metrics and traces of a function, through Powertools for AWS Lambda.

A line of the log is what it is elsewhere (`telemetry.logs.document_of`: what tenants write is under `data`, so that
none of it can pass for a metric), with the service and the request added. Metrics are lines, too (CloudWatch's embedded
format), one for an invocation and only of what is not zero: each metric costs by the hour in which it is sent, and so
does each value of a dimension, which is why flows, accounts and node types are none. Steps and runs are counted by the
function behind the table's stream, a hundred commits at a time: a line of each executor would cost $0.14 per million.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import Metrics

from flowrunner.core.status import RunStatus
from flowrunner.engine.records import read_attempt
from flowrunner.ports.changes import RunMoved
from flowrunner.ports.runs import RowStatus
from flowrunner.settings import Settings
from flowrunner.telemetry.logs import QUIET, document_of

if TYPE_CHECKING:
    from aws_lambda_powertools import Tracer

    from flowrunner.functions.process import Context

NAMESPACE = "flowrunner"
"""Of the metrics, unless the environment names another one: installations in one account need one each."""

ENDED = {
    RunStatus.COMPLETED: "RunsCompleted",
    RunStatus.FAILED: "RunsFailed",
    RunStatus.CANCELLED: "RunsCancelled",
}
"""The metric that counts runs which ended so."""

UNITS = {"StepMilliseconds": "Milliseconds", "OldestMessageSeconds": "Seconds"}
"""Of the metrics that are not counts."""

MOST_VALUES = 99
"""Of one metric in one line; the format's limit is 100, and Powertools writes a line when it is reached."""


class Lines(LambdaPowertoolsFormatter):
    """A record as one line of JSON, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        document = {**document_of(record), **{key: value for key, value in self.keys.items() if value is not None}}
        return self.serialize(document)

    @property
    def keys(self) -> Mapping[str, Any]:
        """What the invocation adds to each line."""
        own: dict[str, Any] = self.log_format
        return {key: own.get(key) for key in ("service", "request", "cold")}


class Observed:
    """What a process says of itself. `count` and `measure` are for several threads, the rest for the handler's."""

    def __init__(self, service: str, settings: Settings, namespace: str = NAMESPACE) -> None:
        self.service = service
        self._lock = Lock()
        self._values: defaultdict[str, list[float]] = defaultdict(list)
        self._cold = True
        lines = Lines(json_serializer=_ascii)
        self._logger = Logger(service=service, level=settings.log.level.upper(), logger_formatter=lines)
        _send_all(self._logger.registered_handler, settings.log.level.upper())
        self._metrics = Metrics(namespace=namespace, service=service)
        self._tracer = _tracer(service) if settings.telemetry.xray else None

    @contextmanager
    def invocation(self, context: Context) -> Iterator[None]:
        """Name the request in all lines of an invocation, and send what was counted when it ends."""
        self._logger.append_keys(service=self.service, request=context.aws_request_id, cold=self._cold or None)
        self._cold = False
        try:
            yield
        finally:
            self.flush()

    def traced(self, handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """The handler with its invocations as segments of X-Ray, if that is wanted. Events and answers stay out."""
        if self._tracer is None:
            return handler

        def named(event: Any, context: Any) -> Any:
            return handler(event, context)

        named.__name__ = self.service  # the segment is called so
        traced: Callable[[Any, Any], Any] = self._tracer.capture_lambda_handler(
            named, capture_response=False, capture_error=False
        )
        return traced

    def count(self, name: str, value: float = 1) -> None:
        """Add to a metric that counts."""
        with self._lock:
            self._values[name] = [sum(self._values[name]) + value]

    def measure(self, name: str, value: float) -> None:
        """Note one more value of a metric, of which CloudWatch then knows the spread."""
        with self._lock:
            self._values[name].append(value)

    def observe_commits(self, commits: Iterable[RunMoved]) -> None:
        """Count what commits are about. For `StreamUsage`, which tells of each of them once."""
        for change in commits:
            for row in change.steps:
                if row.rev and row.status in (RowStatus.SUCCEEDED, RowStatus.FAILED):
                    attempt = read_attempt(row)
                    self.count("Steps")
                    self.measure("StepMilliseconds", max(0, attempt.ended_at - attempt.started_at))
                    if row.status is RowStatus.FAILED:
                        self.count("StepErrors")
            if change.created:
                self.count("RunsStarted")
            if change.ended and change.row.status in ENDED:
                self.count(ENDED[RunStatus(change.row.status)])

    def flush(self) -> None:
        """Write the metrics of which there is something to say: as one line, unless there is very much."""
        with self._lock:
            found: dict[str, list[float]] = self._values
            self._values = defaultdict(list)
        while found:
            for name, values in found.items():
                for value in values[:MOST_VALUES]:
                    self._metrics.add_metric(name=name, unit=UNITS.get(name, "Count"), value=value)
            self._metrics.flush_metrics()
            found = {name: values[MOST_VALUES:] for name, values in found.items() if len(values) > MOST_VALUES}


def _ascii(document: Any) -> str:
    return json.dumps(document, default=str, separators=(",", ":"))


def _send_all(handler: logging.Handler, level: str) -> None:
    """Let all loggers write through Powertools' handler, in place of the one that Lambda's runtime brings."""
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level)
    quiet = max(logging.getLevelNamesMapping()[level], logging.WARNING)
    for name in (*QUIET, "mangum"):  # which would write down each request a second time
        logging.getLogger(name).setLevel(quiet)


def _tracer(service: str) -> Tracer:
    from aws_lambda_powertools import Tracer

    return Tracer(service=service, patch_modules=["botocore"])
