"""Metrics: what is counted, under which labels, and what is asked of the store only when somebody looks."""

from __future__ import annotations

import socket
import subprocess
import sys
from urllib.request import urlopen

import pytest
from flowrunner.errors import ConfigurationError, StoreError
from flowrunner.settings import load_settings
from flowrunner.telemetry.exposing import expose_metrics
from flowrunner.telemetry.metrics import CONTENT_TYPE, Metrics
from flowrunner.telemetry.observing import Telemetry, observe_engine
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families

from tests.engine.harness import ACCOUNT, Bench, bench, flow

FAILING = flow('a: {type: script, retry: {max_attempts: 3, delay: 2s, on: ["*"]}, hooks: {exec: "throw 1"}}')
WAITING = flow("a: {type: delay, params: {for: 1h}}")


def measured(b: Bench) -> Metrics:
    """Metrics that observe the bench."""
    metrics = Metrics(b.engine.parts.backend.queue, b.clock)
    b.engine.watchers.watch_all(metrics.observe)
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every series of the page."""
    families = text_string_to_metric_families(metrics.page().decode())
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics).get((f"flowrunner_{name}", frozenset(labels.items())), 0.0)


def test_runs_are_counted_by_how_they_end() -> None:
    """Started, completed, failed, cancelled; each once."""
    with bench() as b:
        metrics = measured(b)
        for _ in range(2):
            b.run(flow("a: {type: transform}"))
        b.run(FAILING)
        b.engine.control.cancel(ACCOUNT, b.start(WAITING))
        assert value(metrics, "runs_started_total") == 4
        assert value(metrics, "runs_ended_total", status="completed") == 2
        assert value(metrics, "runs_ended_total", status="failed") == 1
        assert value(metrics, "runs_ended_total", status="cancelled") == 1


def test_every_status_is_there_from_the_start() -> None:
    """So that a rate over it is 0, and not nothing."""
    with bench() as b:
        metrics = measured(b)
        ended = {dict(labels)["status"] for name, labels in samples(metrics) if name == "flowrunner_runs_ended_total"}
        assert ended == {"completed", "failed", "cancelled"}


def test_steps_are_measured_by_node_type() -> None:
    """Their number, their seconds, and the retries among them."""
    with bench() as b:
        metrics = measured(b)
        b.run(FAILING)
        b.run(WAITING)
        b.run(flow("a: {type: transform, when: false}"))
        assert value(metrics, "step_seconds_count", type="script", status="failed") == 3
        assert value(metrics, "step_retries_total", type="script") == 2
        assert value(metrics, "step_seconds_sum", type="delay", status="succeeded") == 3600
        assert value(metrics, "step_seconds_count", type="transform", status="succeeded") == 0


def test_the_queue_is_read_when_somebody_looks() -> None:
    """What is due and since when, and how many runs have work."""
    with bench() as b:
        metrics = measured(b)
        for name in ("queue_depth", "queue_age_seconds", "active_runs"):
            assert (f"flowrunner_{name}", frozenset()) in samples(metrics)
            assert value(metrics, name) == 0
        b.start(flow("a: {type: transform}"))
        b.start(WAITING)
        b.clock.turn_to(b.clock.now() + 2500)
        assert value(metrics, "queue_depth") == 2
        assert value(metrics, "queue_age_seconds") == 2.5
        assert value(metrics, "active_runs") == 2
        b.work(until=b.clock.now() + 1000)
        assert value(metrics, "queue_depth") == 0
        assert value(metrics, "active_runs") == 1


def test_a_store_that_is_down_takes_only_its_own_series_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is worth most just then."""

    def fail(_: int) -> None:
        raise StoreError

    with bench() as b:
        metrics = measured(b)
        monkeypatch.setattr(b.engine.parts.backend.queue, "load", fail)
        names = {name for name, _ in samples(metrics)}
        assert "flowrunner_runs_started_total" in names
        assert "flowrunner_queue_depth" not in names


def test_requests_and_deliveries() -> None:
    """By route template and status, and by outcome."""
    with bench() as b:
        telemetry = Telemetry(b.engine, measured(b))
        telemetry.request("GET", "/v1/runs/{run_id}", 200, 0.02)
        telemetry.request("GET", "/v1/runs/{run_id}", 404, 0.001)
        telemetry.delivery("failed")
        assert telemetry.metrics is not None
        labels = {"method": "GET", "route": "/v1/runs/{run_id}", "status": "200"}
        assert value(telemetry.metrics, "http_request_seconds_count", **labels) == 1
        assert value(telemetry.metrics, "http_request_seconds_bucket", **labels, le="0.025") == 1
        assert value(telemetry.metrics, "http_request_seconds_bucket", **labels, le="0.01") == 0
        assert value(telemetry.metrics, "deliveries_total", outcome="failed") == 1


def test_the_process_itself_is_measured_and_registries_are_apart() -> None:
    """Memory and the like are on the page; two sets of metrics in one process do not meet."""
    with bench() as b:
        first, second = measured(b), measured(b)
        names = {name for name, _ in samples(first)}
        assert {"python_info", "process_resident_memory_bytes"} <= names
        first.delivery("succeeded")
        assert value(second, "deliveries_total", outcome="succeeded") == 0


def test_the_content_type_is_the_text_format() -> None:
    """Version 0.0.4, which every Prometheus reads."""
    assert CONTENT_TYPE.startswith("text/plain; version=")
    assert CONTENT_TYPE_LATEST.startswith("text/plain")


def test_nothing_is_counted_that_nobody_asked_for() -> None:
    """By default a process has neither metrics nor traces, and observing ends with `close`."""
    with bench() as b:
        telemetry = observe_engine(b.engine, load_settings({}).settings)
        assert telemetry.metrics is None
        telemetry.request("GET", "/", 200, 0.1)
        telemetry.delivery("failed")
        assert b.engine.watchers.watched(b.start(flow("a: {type: transform}")))
        telemetry.close()
        assert not b.engine.watchers.watched(b.start(flow("a: {type: transform}")))


def test_settings_switch_metrics_on() -> None:
    """`metrics.enabled` makes them observe the engine."""
    with bench() as b:
        settings = load_settings({"FLOWRUNNER_METRICS__ENABLED": "true"}).settings
        telemetry = observe_engine(b.engine, settings)
        b.run(flow("a: {type: transform}"))
        assert telemetry.metrics is not None
        assert value(telemetry.metrics, "runs_started_total") == 1
        telemetry.close()


def test_what_is_not_used_is_not_imported() -> None:
    """Neither the Prometheus client nor OpenTelemetry nor the JSON formatter, until settings want them."""
    program = (
        "import sys, flowrunner.telemetry.observing, flowrunner.telemetry.logs, flowrunner.telemetry.metrics, "
        "flowrunner.telemetry.traces; "
        "print(sorted({'prometheus_client', 'opentelemetry', 'pythonjsonlogger', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip().endswith("[]")


def test_a_worker_serves_its_metrics_on_a_port_of_its_own() -> None:
    """The first free one from where the settings say, so that several processes of one command have one each."""
    with bench() as b, socket.create_server(("127.0.0.1", 0)) as taken:
        metrics = measured(b)
        b.run(flow("a: {type: transform}"))
        first = taken.getsockname()[1]
        port, close = expose_metrics(metrics, "127.0.0.1", first, 20)
        try:
            assert first < port < first + 20
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=120) as answer:
                assert b"flowrunner_runs_started_total 1.0" in answer.read()
        finally:
            close()
        with pytest.raises(ConfigurationError, match="taken"):
            expose_metrics(metrics, "127.0.0.1", first)
        with pytest.raises(ConfigurationError, match="cannot be served on 192"):
            expose_metrics(metrics, "192.0.2.1", first)
