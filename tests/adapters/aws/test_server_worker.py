"""A worker on a server serves the queues of a deployment, both lanes, alone or beside its functions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flowrunner.core.ids import Millis, RunId
from flowrunner.engine.worker import Worker, WorkerSettings

from tests.adapters.aws.calls import Death
from tests.adapters.aws.fake_cloud import FAST
from tests.adapters.aws.flows import FLOWS, document
from tests.adapters.aws.lambdas import Installation, Process, check, installation, quiet
from tests.adapters.aws.test_executor_faults import answer, through
from tests.engine.harness import ACCOUNT

LEASE: Millis = 30_000
SLOW_FLOW = """
metadata: {name: slow}
nodes:
  a: {type: touch, timeout: 5m, params: {give: 1}, next: b}
  b: {type: touch, params: {give: "${prev}"}, next: c}
  c: {type: touch, timeout: 10m, params: {give: 3}}
"""


@pytest.fixture
def aws() -> Iterator[Installation]:
    with installation() as made:
        yield made


class Server:
    """A process with a worker, which the test drives."""

    def __init__(self, aws: Installation) -> None:
        self.aws = aws
        self.process: Process = aws.process(FAST)
        self.worker: Worker = self.process.engine.worker(WorkerSettings(lease=LEASE))

    def work(self) -> None:
        """Go on until nothing is left to receive or to become due; a run that waits is looked at for ever."""
        for _ in range(200):
            self.worker.drain()
            queues, timers = self.aws.cloud.queues.next_visible(), self.aws.due("Q#")
            moment = min([*([queues] if queues else []), *(at - 900_000 for at in timers)], default=None)
            if moment is None:
                return
            self.aws.clock.turn_to(max(moment, self.aws.clock.now() + 1_000))
        raise AssertionError("this goes on for ever")

    def close(self) -> None:
        self.process.backend.close()
        self.process.engine.parts.registry.shutdown()


@pytest.mark.parametrize("name", FLOWS)
def test_it_does_what_the_functions_do(aws: Installation, name: str) -> None:
    """Each flow comes to the same, and nothing is left in the queues."""
    flow = aws.save(document(name))
    expected = check(aws, through(aws, flow, "by functions"))
    aws.ledger.touched.clear()
    server = Server(aws)
    run = aws.start(flow, "by a server")
    server.work()
    if aws.people.engine.run(ACCOUNT, run).status == "waiting":
        answer(aws, run)
        server.work()
    check(aws, run, expected)
    assert len(aws.ledger.touched) == len(set(aws.ledger.touched))
    quiet(aws)
    server.close()


def test_it_serves_both_lanes(aws: Installation) -> None:
    """Slow steps and quick ones in turns."""
    server = Server(aws)
    run = aws.start(aws.save(SLOW_FLOW), "run")
    server.work()
    assert check(aws, run).status == "completed"
    quiet(aws)
    server.close()


def test_what_it_began_others_finish(aws: Installation) -> None:
    """It dies at any of its calls, with steps handed off to itself that were never sent."""
    flow = aws.save(document("linear"))
    expected = check(aws, through(aws, flow, "calm"))
    for number in range(1, 16):
        aws.ledger.touched.clear()
        run: RunId = aws.start(flow, f"dies at {number}")
        server = Server(aws)
        server.process.door.plan(lambda call, _name, at=number: "dies before" if call == at else None)  # type: ignore[misc]  # bound now
        try:
            server.worker.drain()
        except Death:
            aws.deaths += 1
        server.close()
        aws.work()
        check(aws, run, expected)
        quiet(aws)
    assert aws.deaths > 10


def test_it_starts_runs_that_others_can_take_over(aws: Installation) -> None:
    """What it keeps for itself comes to others when its lease would be over."""
    server = Server(aws)
    flow = aws.save(document("linear"))
    now = aws.clock.now()
    prepared = server.process.engine._starter.prepare(flow)
    server.process.backend.runs.create(
        [prepared.view.row], prepared.messages, owner=server.worker.name, lease_until=now + LEASE
    )
    server.close()
    assert not aws.deliver()
    aws.clock.turn_to(now + LEASE)
    aws.work()
    check(aws, prepared.view.row.id)
    quiet(aws)
