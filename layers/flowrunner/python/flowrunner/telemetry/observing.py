"""What a process observes of its engine, as its settings want it. Nothing is imported that is not used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flowrunner.engine.engine import Engine
from flowrunner.settings import Settings
from flowrunner.telemetry.runs import log_run

if TYPE_CHECKING:
    from flowrunner.telemetry.metrics import Metrics
    from flowrunner.telemetry.traces import Traces


class Telemetry:
    """The observers of an engine: its log always, metrics and traces when there are any."""

    def __init__(self, engine: Engine, metrics: Metrics | None = None, traces: Traces | None = None) -> None:
        self.metrics = metrics
        self._traces = traces
        self._leave: list[Callable[[], None]] = [engine.watchers.watch_all(log_run)]
        if metrics is not None:
            self._leave.append(engine.watchers.watch_all(metrics.observe))
        if traces is not None:
            self._leave.append(engine.watchers.watch_all(traces.observe))

    def delivery(self, outcome: str) -> None:
        """Count a try to deliver an outbound webhook."""
        if self.metrics is not None:
            self.metrics.delivery(outcome)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        if self.metrics is not None:
            self.metrics.request(method, route, status, seconds)

    def close(self) -> None:
        """Observe no more, and export what is left."""
        for leave in self._leave:
            leave()
        self._leave.clear()
        if self._traces is not None:
            self._traces.close()


def observe_engine(engine: Engine, settings: Settings) -> Telemetry:
    """Begin to observe `engine`."""
    metrics = traces = None
    if settings.metrics.enabled:
        from flowrunner.telemetry.metrics import Metrics

        metrics = Metrics(engine.parts.backend.queue, engine.parts.clock)
    if settings.telemetry.otlp_endpoint is not None:
        from flowrunner.telemetry.traces import Traces, otlp_exporter

        exporter = otlp_exporter(settings.telemetry.otlp_endpoint)
        traces = Traces(exporter, settings.telemetry.service_name, engine.parts.clock)
    return Telemetry(engine, metrics, traces)
