"""Traces: one span for each life of a run and each attempt, with ids that every process derives alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.engine.starter import StartRequest
from flowrunner.settings import load_settings
from flowrunner.telemetry.observing import Telemetry, observe_engine
from flowrunner.telemetry.traces import Traces, otlp_exporter, span_id, trace_id
from flowrunner.testing import START
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.engine.harness import ACCOUNT, Bench, bench, flow
from tests.servers import RecordingServer, Reply

RETRYING = flow(
    """
ok: {type: transform, next: bad}
bad: {type: script, retry: {max_attempts: 2, delay: 5s, jitter: none, on: ["*"]}, hooks: {exec: "throw new Error('no')"}}"""
)


class Traced:
    """A bench whose spans are kept."""

    def __init__(self, b: Bench) -> None:
        self.exporter = InMemorySpanExporter()
        traces = Traces(self.exporter, "test-service", b.clock)
        self.telemetry = Telemetry(b.engine, traces=traces)

    def spans(self) -> list[ReadableSpan]:
        """All spans, in the order in which they were made; ends the tracing."""
        self.telemetry.close()
        return list(self.exporter.get_finished_spans())


@contextmanager
def traced(backend: MemoryBackend | None = None) -> Iterator[tuple[Bench, Traced]]:
    with bench(backend) as b:
        yield b, Traced(b)


def by_name(spans: list[ReadableSpan]) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans}


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def test_a_run_is_a_trace_of_its_attempts() -> None:
    """Every attempt is a child of the run's span, with its own start and end."""
    with traced() as (b, traces):
        run = b.run(RETRYING).id
        spans = traces.spans()
    assert [span.name for span in spans] == ["ok", "bad", "bad", "run test"]
    root = spans[-1]
    assert root.parent is None
    for span in spans[:-1]:
        assert span.parent is not None
        assert (span.parent.trace_id, span.parent.span_id) == ids(root)
        assert ids(span)[0] == trace_id(ACCOUNT, run)
    assert len({ids(span) for span in spans}) == 4
    assert (spans[2].start_time or 0) - (spans[1].end_time or 0) == 5_000_000_000
    assert root.start_time == START * 1_000_000
    assert root.end_time == spans[2].end_time


def test_spans_say_what_they_are_about() -> None:
    """Account, flow, run, node and its type, the attempt, and who started it with which request."""
    with traced() as (b, traces):
        row = b.engine.save_flow(ACCOUNT, RETRYING)
        request = StartRequest(ACCOUNT, row.id, row.revision, started_by="ann", labels={"correlation_id": "c-1"})
        run = b.engine.start(request)
        b.work()
        spans = traces.spans()
    step, root = spans[2], spans[-1]
    common = {
        "flowrunner.account": ACCOUNT,
        "flowrunner.flow": row.id,
        "flowrunner.flow.name": "test",
        "flowrunner.run": run,
        "flowrunner.correlation_id": "c-1",
    }
    assert dict(step.attributes or {}) == {
        **common,
        "flowrunner.step": "bad",
        "flowrunner.node": "bad",
        "flowrunner.node.type": "script",
        "flowrunner.attempt": 2,
        "flowrunner.cached": False,
    }
    assert dict(root.attributes or {}) == {
        **common,
        "flowrunner.run.status": "failed",
        "flowrunner.run.started_by": "ann",
        "flowrunner.run.steps": 2,
        "flowrunner.flow.revision": 1,
    }
    assert step.resource.attributes["service.name"] == "test-service"


def test_failures_have_the_status_of_an_error() -> None:
    """With the code and the message that people see; success has none."""
    with traced() as (b, traces):
        b.run(RETRYING)
        spans = traces.spans()
    assert [span.status.status_code for span in spans] == [
        StatusCode.UNSET,
        StatusCode.ERROR,
        StatusCode.ERROR,
        StatusCode.ERROR,
    ]
    assert (spans[1].status.description or "").startswith("SCRIPT_ERROR: ")


def test_several_processes_make_one_trace() -> None:
    """Two engines on one store: whichever commits a step, its span hangs at the same root."""
    backend = MemoryBackend()
    with traced(backend) as (here, first), traced(backend) as (there, second):
        run = here.start(flow("a: {type: delay, params: {for: 1m}, next: b}\nb: {type: transform}"))
        here.work(until=START + 1000)
        there.clock.turn_to(START + 60_000)
        there.work()
        spans = [*first.spans(), *second.spans()]
    assert sorted(span.name for span in spans) == ["a", "b", "run test"]
    assert {ids(span)[0] for span in spans} == {trace_id(ACCOUNT, run)}
    root = by_name(spans)["run test"]
    assert {span.parent.span_id for span in spans if span.parent is not None} == {ids(root)[1]}


def test_a_redriven_run_has_a_span_for_each_life() -> None:
    """In one trace; the later steps hang at the later one."""
    with traced() as (b, traces):
        run = b.run(RETRYING).id
        b.engine.control.redrive(ACCOUNT, run)
        b.work()
        spans = traces.spans()
    roots = [span for span in spans if span.parent is None]
    assert [ids(root) for root in roots] == [
        (trace_id(ACCOUNT, run), span_id(ACCOUNT, run, attempt)) for attempt in (1, 2)
    ]
    later = spans[4:-1]
    assert later
    assert {span.parent.span_id for span in later if span.parent is not None} == {ids(roots[1])[1]}


def test_a_child_run_is_linked_to_the_step_that_started_it() -> None:
    """It has a trace of its own, since its parent may not wait for it."""
    with traced() as (b, traces):
        b.engine.save_flow(ACCOUNT, flow("x: {type: transform}").replace("name: test", "name: child"))
        parent = b.run(flow("call: {type: flow.run, params: {flow: child}}"))
        spans = by_name(traces.spans())
    assert parent.status == "completed"
    [link] = spans["run child"].links
    assert (link.context.trace_id, link.context.span_id) == ids(spans["call"])
    assert ids(spans["run child"])[0] != ids(spans["run test"])[0]


def test_what_did_not_run_has_no_span() -> None:
    """Skipped nodes, and steps that only wait so far; a cancelled run ends when it was cancelled."""
    with traced() as (b, traces):
        run = b.start(flow("a: {type: transform, when: false}\nw: {type: approval, params: {message: hm}}"))
        b.work()
        b.clock.turn_to(START + 7000)
        b.engine.control.cancel(ACCOUNT, run)
        spans = traces.spans()
    assert [span.name for span in spans] == ["run test"]
    assert spans[0].end_time == (START + 7000) * 1_000_000
    assert spans[0].status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("part", [(), ("1.0", 1), (1,)])
def test_ids_are_what_the_standard_wants(part: tuple[object, ...]) -> None:
    """128 and 64 bits, never 0, and different for accounts that have a run of the same id."""
    assert 0 < trace_id("a", "r") < 2**128
    assert 0 < span_id("a", "r", *part) < 2**64
    assert trace_id("a", "r") != trace_id("b", "r")
    assert span_id("a", "r", *part) != span_id("b", "r", *part)


def test_spans_reach_a_collector() -> None:
    """As protobuf over HTTP, at the path of the protocol, when the setting names where."""
    with RecordingServer(lambda request: Reply(200)) as server, bench() as b:
        settings = load_settings({"FLOWRUNNER_TELEMETRY__OTLP_ENDPOINT": f"{server.url}/"}).settings
        telemetry = observe_engine(b.engine, settings)
        b.run(flow("a: {type: transform}"))
        telemetry.close()
        [request] = server.requests
        assert request.path == "/v1/traces"
        assert b"flowrunner.run" in request.body
    assert otlp_exporter("http://127.0.0.1:1") is not None
