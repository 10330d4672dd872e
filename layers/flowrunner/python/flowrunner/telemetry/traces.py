"""Traces: a span for each run and for each attempt of a step, exported by OTLP over HTTP.

Ids of spans are hashes of the run's and the step's, so processes that share a run add to one trace without talking to
each other, and a span exported twice is the same span. Spans are made when an attempt is committed, with its start and
its end; nothing is held open meanwhile.

    trace: a run; one that a step started has a trace of its own, linked to the step
    span: one life of the run (`attempt` counts redrives); its children are the attempts of steps
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from flowrunner import __version__
from flowrunner.core.ids import Millis
from flowrunner.core.status import RunStatus
from flowrunner.engine.records import Attempt
from flowrunner.engine.watch import Change
from flowrunner.ports.clock import Clock
from flowrunner.ports.runs import RowStatus
from flowrunner.telemetry.runs import CORRELATION_LABEL

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext, Status

SPANNED = (RowStatus.SUCCEEDED, RowStatus.FAILED)


def trace_id(account: str, run: str) -> int:
    """The id of a run's trace: 128 bits, and not 0."""
    return int.from_bytes(hashlib.sha256(f"{account}|{run}".encode()).digest()[:16]) or 1


def span_id(account: str, run: str, *part: object) -> int:
    """The id of a span within the run: 64 bits, and not 0."""
    text = "|".join([account, run, *map(str, part)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) or 1


class Traces:
    """Makes spans of what the engine commits. `exporter` takes them in batches, from a thread of its own."""

    def __init__(self, exporter: SpanExporter, service: str, clock: Clock) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._clock = clock
        self._processor: SpanProcessor = BatchSpanProcessor(exporter)
        self._resource = Resource.create({"service.name": service, "service.version": __version__})
        self._scope = InstrumentationScope("flowrunner", __version__)

    def observe(self, change: Change) -> None:
        """Export the spans of what ended with a commit. For `Watchers.watch_all`."""
        for attempt in change.attempts:
            if attempt.rev and attempt.status in SPANNED:
                self._processor.on_end(self._step(change, attempt))
        if change.ended:
            self._processor.on_end(self._run(change))

    def close(self) -> None:
        """Export what is left, and end."""
        self._processor.shutdown()

    def _run(self, change: Change) -> ReadableSpan:
        row, state, facts = change.view.row, change.state, change.view.facts
        links = []
        if facts.parent is not None:
            run, step, attempt = facts.parent
            links.append(_link(row.account, run, step, attempt))
        attributes = {
            **_common(change),
            "flowrunner.run.status": state.status.value,
            "flowrunner.run.started_by": facts.started_by,
            "flowrunner.run.steps": state.steps,
            "flowrunner.flow.revision": row.revision,
        }
        ends = [attempt.ended_at for attempt in change.attempts]
        return self._span(
            f"run {row.flow_name}",
            _context(row.account, row.id, state.attempt),
            None,
            start=row.created_at if state.attempt == 1 else state.started_at,
            end=max(ends) if ends else self._clock.now(),
            attributes=attributes,
            links=links,
            status=_status(state.error if state.status is RunStatus.FAILED else None),
        )

    def _step(self, change: Change, attempt: Attempt) -> ReadableSpan:
        row = change.view.row
        node = change.view.program.nodes.get(attempt.node)
        attributes = {
            **_common(change),
            "flowrunner.step": attempt.label,
            "flowrunner.node": attempt.node,
            "flowrunner.node.type": node.node.type if node is not None else None,
            "flowrunner.attempt": attempt.attempt,
            "flowrunner.action": attempt.action,
            "flowrunner.cached": attempt.cached,
        }
        return self._span(
            attempt.label,
            _context(row.account, row.id, attempt.step, attempt.attempt),
            _context(row.account, row.id, change.state.attempt),
            start=attempt.started_at,
            end=attempt.ended_at,
            attributes=attributes,
            status=_status(attempt.error if attempt.status is RowStatus.FAILED else None),
        )

    def _span(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        *,
        start: Millis,
        end: Millis,
        attributes: dict[str, Any],
        status: Status,
        links: list[Any] | None = None,
    ) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan

        return ReadableSpan(
            name=name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes={key: value for key, value in attributes.items() if value is not None},
            links=links or (),
            status=status,
            start_time=start * 1_000_000,
            end_time=max(start, end) * 1_000_000,
            instrumentation_scope=self._scope,
        )


def otlp_exporter(endpoint: str) -> SpanExporter:
    """An exporter to a collector, `http://localhost:4318`; headers and certificates by OpenTelemetry's environment."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")


def _context(account: str, run: str, *part: object) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(trace_id(account, run), span_id(account, run, *part), is_remote=False, trace_flags=flags)


def _link(account: str, run: str, *part: object) -> Any:
    from opentelemetry.trace import Link

    return Link(_context(account, run, *part))


def _common(change: Change) -> dict[str, Any]:
    row = change.view.row
    return {
        "flowrunner.account": row.account,
        "flowrunner.flow": row.flow,
        "flowrunner.flow.name": row.flow_name,
        "flowrunner.run": row.id,
        "flowrunner.correlation_id": change.view.facts.labels.get(CORRELATION_LABEL),
    }


def _status(error: Any) -> Status:
    from opentelemetry.trace import Status, StatusCode

    if not error:
        return Status(StatusCode.UNSET)
    return Status(StatusCode.ERROR, f"{error.get('code')}: {error.get('message')}")
