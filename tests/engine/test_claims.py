"""What a worker makes of attempts that another worker began: leases, crash loops, at_most_once."""

from __future__ import annotations

import pytest
from flowrunner.core.ids import NodeId, RunId, StepId
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import ClaimRequest

from tests.engine.harness import ACCOUNT, Bench, bench, flow
from tests.servers import RecordingServer

DOCUMENT = """
a: {{type: http.request, {options} params: {{url: "${{input}}"}}, next: {{default: b, error: c}}}}
b: {{type: transform, params: {{value: done}}}}
c: {{type: transform, params: {{value: "${{error.code}}"}}}}"""
LEASE = 30_000


def claim_as_another(b: Bench, run: RunId, times: int = 1) -> None:
    """Another worker claims the first step and dies, as often as asked."""
    for _ in range(times):
        now = b.clock.now()
        request = ClaimRequest(ACCOUNT, run, StepId("1.0"), 1, NodeId("a"), "another", now, now + LEASE, b'{"t0": 1}')
        b.engine.parts.backend.runs.claim([request])
        b.clock.turn_to(now + LEASE + 1)


def test_a_lease_that_is_alive_is_waited_for() -> None:
    """The step is executed when the other worker's lease is over, once."""
    with RecordingServer() as server, bench(allow=["127.0.0.1"]) as b:
        run = b.start(flow(DOCUMENT.format(options="")), server.url)
        now = b.clock.now()
        request = ClaimRequest(ACCOUNT, run, StepId("1.0"), 1, NodeId("a"), "another", now, now + LEASE, b"{}")
        b.engine.parts.backend.runs.claim([request])
        b.worker.drain()
        assert server.requests == []
        b.work()
        assert b.clock.now() >= now + LEASE
        assert b.result(run).output == {"b": "done"}
        assert len(server.requests) == 1


def test_a_step_that_kills_its_workers_is_given_up() -> None:
    """Three claims without a result are a crash loop; the run goes on along the error edge."""
    with RecordingServer() as server, bench(allow=["127.0.0.1"]) as b:
        run = b.start(flow(DOCUMENT.format(options="")), server.url)
        claim_as_another(b, run, times=3)
        b.work()
        assert b.result(run).output == {"c": "CRASH_LOOP"}
        assert server.requests == []


def test_an_at_most_once_step_is_not_executed_again() -> None:
    """Nobody knows whether it happened, and that is what the error says."""
    with RecordingServer() as server, bench(allow=["127.0.0.1"]) as b:
        run = b.start(flow(DOCUMENT.format(options="at_most_once: true,")), server.url)
        claim_as_another(b, run)
        b.work()
        assert b.result(run).output == {"c": "AMBIGUOUS"}
        assert server.requests == []


@pytest.mark.parametrize("copies", [1, 5])
def test_a_message_that_comes_again_changes_nothing(copies: int) -> None:
    """Handled once or five times, also after the run has ended."""
    with RecordingServer() as server, bench(allow=["127.0.0.1"]) as b:
        run = b.start(flow(DOCUMENT.format(options="")), server.url)
        b.work()
        before = b.steps(run)
        for _ in range(copies):
            for step in ("1.0", "2.0", "99.0", "deadline", "settle", "admit"):
                receipt = Receipt(ACCOUNT, run, StepId(step), 1)
                b.engine.parts.backend.queue.send([Message(receipt, b.clock.now())])
            b.work()
        assert b.steps(run) == before
        assert len(server.requests) == 1
