"""Metrics for Prometheus, in a registry of their own: what runs and steps do here, what the queue holds, what is asked.

Labels have few values: statuses, node types, route templates. Accounts, flows and runs are none, since their number has
no bound; they are in the logs and in the usage. Each process counts what it does itself; the queue is the same for all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flowrunner.core.status import RunStatus
from flowrunner.engine.watch import Change
from flowrunner.errors import StoreError
from flowrunner.ports.clock import Clock
from flowrunner.ports.queue import WorkQueue
from flowrunner.ports.runs import RowStatus
from flowrunner.telemetry.runs import retried

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

STEP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

GONE = "(gone)"
"""The type of a node that the run's flow has no longer."""

log = logging.getLogger(__name__)


class Metrics:
    """See the module. Safe for several threads."""

    def __init__(self, queue: WorkQueue, clock: Clock) -> None:
        from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector
        from prometheus_client import ProcessCollector as Process

        self.registry = CollectorRegistry()
        for collector in (Process, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(_Queue(queue, clock))
        self._started = Counter("flowrunner_runs_started", "Runs started by this process.", registry=self.registry)
        self._ended = Counter(
            "flowrunner_runs_ended", "Runs that ended here, by status.", ["status"], registry=self.registry
        )
        for status in RunStatus:
            if status.over:
                self._ended.labels(status.value)
        self._steps = Histogram(
            "flowrunner_step_seconds",
            "How long attempts of steps took, waits included, by node type and outcome.",
            ["type", "status"],
            buckets=STEP_BUCKETS,
            registry=self.registry,
        )
        self._retries = Counter(
            "flowrunner_step_retries", "Attempts after which another one follows.", ["type"], registry=self.registry
        )
        self._deliveries = Counter(
            "flowrunner_deliveries", "Tries to deliver an outbound webhook.", ["outcome"], registry=self.registry
        )
        self._requests = Histogram(
            "flowrunner_http_request_seconds",
            "Requests by route and status: until the answer began, for one that streams.",
            ["method", "route", "status"],
            buckets=REQUEST_BUCKETS,
            registry=self.registry,
        )

    def observe(self, change: Change) -> None:
        """Count what a commit is about. For `Watchers.watch_all`."""
        if change.created:
            self._started.inc()
        if change.ended:
            self._ended.labels(change.state.status.value).inc()
        for attempt in change.attempts:
            if not attempt.rev or attempt.status not in (RowStatus.SUCCEEDED, RowStatus.FAILED):
                continue
            node = change.view.program.nodes.get(attempt.node)
            kind = node.node.type if node is not None else GONE
            seconds = max(0, attempt.ended_at - attempt.started_at) / 1000
            self._steps.labels(kind, attempt.status.value).observe(seconds)
            if retried(change, attempt):
                self._retries.labels(kind).inc()

    def delivery(self, outcome: str) -> None:
        """Count a try to deliver: `delivered`, `retried` (another one follows) or `failed`."""
        self._deliveries.labels(outcome).inc()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the route's template, never a path that somebody made up."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def page(self) -> bytes:
        """All of it in the text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)


class _Queue:
    """What the queue holds, asked for when somebody looks."""

    def __init__(self, queue: WorkQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.metrics_core import GaugeMetricFamily

        now = self._clock.now()
        try:
            load = self._queue.load(now)
        except StoreError:
            # The rest of the page is worth having just then; a missing series tells of it.
            log.warning("the queue cannot be read for metrics")
            return
        age = max(0, now - load.visible_since) / 1000 if load.visible_since is not None else 0.0
        yield GaugeMetricFamily("flowrunner_queue_depth", "Messages that are due and taken by no worker.", load.visible)
        yield GaugeMetricFamily("flowrunner_queue_age_seconds", "How long the first of them has been due.", age)
        yield GaugeMetricFamily(
            "flowrunner_active_runs",
            "Runs with a step that is due, under way, or waits for a moment; of all processes.",
            load.runs,
        )
