"""Messages that are forged, come too often, too early, too late or in the wrong order; runs that nobody can read.

Every entry of the corpus on queues, against the worker: what a message says is looked up, never believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.core.ids import AccountId, RunId, StepId
from flowrunner.ports.backend import Backend
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import Commit, RunRow

from tests.attacks import attacks, needs_corpus
from tests.engine.harness import ACCOUNT, Bench, bench, flow
from tests.servers import RecordingServer

Entry = Mapping[str, Any]
DAY = 86_400_000
SENDS = """
a: {type: http.request, params: {method: POST, url: "${input}"}, next: b}
b: {type: transform, params: {value: "${nodes.a.output.status}"}, next: c}
c: {type: http.request, params: {method: POST, url: "${input}"}}"""
WAITS = "a: {type: delay, params: {for: 1h}, next: b}\nb: {type: transform, params: {value: done}}"


STEPS = ("1.0", "2.0", "3.0", "4.0", "99.0", "deadline", "settle", "admit")
"""Those of the flows above, one that there is not, and the engine's own."""


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "memory":
        return MemoryBackend()
    made = SqliteBackend(tmp_path / "flows.db", "normal")
    made.migrate()
    return made


@pytest.fixture
def b(backend: Backend) -> Iterator[Bench]:
    with bench(backend, allow=["127.0.0.1"]) as made:
        yield made
    backend.close()


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


def send(b: Bench, *receipts: Receipt, due: int | None = None) -> None:
    """Put messages into the queue, as somebody could who can write to it."""
    at = b.clock.now() if due is None else due
    b.engine.parts.backend.queue.send([Message(receipt, at) for receipt in receipts])


def rewrite_head(b: Bench, run: RunId, head: bytes) -> None:
    """Let a run's head be another one, as a newer version of the program or a fault of a disk would leave it."""
    runs = b.engine.parts.backend.runs
    load = runs.load

    def changed(keys: Sequence[tuple[AccountId, RunId]]) -> Sequence[RunRow | None]:
        return [row if row is None or row.id != run else replace(row, head=head) for row in load(keys)]

    runs.load = changed  # type: ignore[method-assign]  # what stands in for the store's content


def unknown_version(b: Bench, server: RecordingServer) -> None:
    """A run in a format that this program does not know is left alone, in nobody's way, and goes on when it is known."""
    bad = b.start(flow("a: {type: transform, params: {value: 1}}"))
    load = b.engine.parts.backend.runs.load
    for head in (b'{"v": 99, "st": "running"}', b"", b"{", b"[]", b"null", b'{"v": 1}', b'{"v": 1, "st": 5}', b"\xff"):
        rewrite_head(b, bad, head)
        server.requests.clear()
        good = b.start(flow(SENDS), server.url)
        b.worker.drain()
        assert b.result(good).status == "completed"
        assert len(server.requests) == 2
        b.clock.turn_to(b.clock.now() + DAY)
    b.engine.parts.backend.runs.load = load  # type: ignore[method-assign]  # the content as it was
    b.work()
    assert b.result(bad).output == {"a": 1}


def another_accounts_run(b: Bench, server: RecordingServer) -> None:
    """The run is looked for in the message's account, where there is none."""
    run = b.start(flow(SENDS), server.url)
    for account in ("acct-other", "", "acct/x", f"{ACCOUNT}\0", ACCOUNT.upper()):
        receipts = [Receipt(AccountId(account), run, StepId(step), 1) for step in STEPS]
        send(b, *receipts)
    others = b.engine.parts.backend.queue.load(b.clock.now()).runs
    b.work()
    assert others > 1
    assert b.engine.parts.backend.queue.load(b.clock.now()).visible == 0, "they are dropped"
    assert b.result(run).status == "completed"
    assert len(server.requests) == 2
    for account in ("acct-other", ""):
        assert b.engine.parts.backend.runs.load([(AccountId(account), run)]) == [None]


def a_thousand_times(b: Bench, server: RecordingServer) -> None:
    """While the run goes on, between its steps and after its end: nothing is sent or committed twice."""
    run = b.start(flow(SENDS), server.url)
    every = [Receipt(ACCOUNT, run, StepId(step), attempt) for step in STEPS for attempt in (0, 1, 2)]
    for _ in range(20):
        send(b, *every)
        b.worker.drain()
    b.work()
    before, steps = b.engine.parts.backend.runs.load([(ACCOUNT, run)]), b.steps(run)
    for _ in range(1_000 // len(every) + 1):
        send(b, *every)
        b.work()
    assert b.result(run).status == "completed"
    assert len(server.requests) == 2
    assert b.engine.parts.backend.runs.load([(ACCOUNT, run)]) == before
    assert b.steps(run) == steps


def out_of_order(b: Bench, server: RecordingServer) -> None:
    """Successors first, then everything backwards: the order is that of the flow."""
    run = b.start(flow(SENDS), server.url)
    for step in reversed(STEPS):
        send(b, Receipt(ACCOUNT, run, StepId(step), 1))
        b.worker.drain()
    b.work()
    assert b.result(run).status == "completed"
    assert b.path(run) == ["a", "b", "c"]
    assert len(server.requests) == 2


def ten_days_late(b: Bench, server: RecordingServer) -> None:
    """The run has ended, was cancelled, or is gone: acknowledged, and nothing happens."""
    ended, cancelled = b.start(flow(SENDS), server.url), b.start(flow(WAITS))
    b.engine.control.cancel(ACCOUNT, cancelled)
    b.work()
    gone = RunId("01890000-0000-7000-8000-000000000000")
    sent, steps = len(server.requests), [b.steps(run) for run in (ended, cancelled)]
    b.clock.turn_to(b.clock.now() + 10 * DAY)
    send(b, *(Receipt(ACCOUNT, run, StepId(step), 1) for run in (ended, cancelled, gone) for step in STEPS), due=1)
    b.work()
    assert b.engine.parts.backend.queue.next_visible() is None
    assert [b.steps(run) for run in (ended, cancelled)] == steps
    assert len(server.requests) == sent


def too_early(b: Bench, server: RecordingServer) -> None:
    """A timer is in the run, not in the message: one that comes before its time is put back until then."""
    run = b.start(flow(WAITS))
    began = b.clock.now()
    b.worker.drain()
    waiting = next(one.step for one in b.steps(run))
    for _ in range(50):
        send(b, Receipt(ACCOUNT, run, waiting, 1))
        b.engine.parts.backend.queue.release([Receipt(ACCOUNT, run, waiting, 1)], b.clock.now())
        due = b.worker.drain()
        assert due is not None
        assert due >= began + 3_600_000 - 50
        assert b.result(run).status == "waiting"
        b.clock.turn_to(b.clock.now() + 60_000)
    b.work()
    assert b.result(run).output == {"b": "done"}
    assert b.clock.now() >= began + 3_600_000 - 50


QUEUE = {
    "queue-02": unknown_version,
    "queue-03": another_accounts_run,
    "queue-05": a_thousand_times,
    "queue-06": out_of_order,
    "queue-08": ten_days_late,
    "queue-09": too_early,
}


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "queue"), ids=lambda entry: str(entry["id"]))
def test_attacks_on_the_queue(b: Bench, server: RecordingServer, entry: Entry) -> None:
    """Every entry ends as the corpus says; a new one fails until it is run."""
    QUEUE[entry["id"]](b, server)


# -- more of the same kind ------------------------------------------------------------------------------------------


def test_messages_of_no_sense(b: Bench, server: RecordingServer) -> None:
    """Steps that are none, attempts beyond any, the engine's own words at the wrong time: nobody's run is moved."""
    run = b.start(flow(SENDS), server.url)
    steps = [*STEPS, "", "a", "1.0[0]", "1.0.0", "-1.0", "1.0#2", "x" * 300, "'; DROP TABLE queue;--", "\u202e", "null"]
    for attempt in (-1, 0, 1, 2, 2**31 - 1):
        send(b, *(Receipt(ACCOUNT, run, StepId(step), attempt) for step in steps))
    for _ in range(3):
        b.worker.drain()
        b.clock.turn_to(b.clock.now() + 1_000)
    b.work()
    assert b.result(run).status == "completed"
    assert b.path(run) == ["a", "b", "c"]
    assert len(server.requests) == 2
    assert b.engine.parts.backend.queue.next_visible() is None


def test_forged_ends_and_places(b: Bench) -> None:
    """A message cannot end a run before its deadline, answer a waiting step, or let a queued run in."""
    limited = flow(WAITS, head="timeout: 2h\nconcurrency: {key: k, max_runs: 1}")
    first, second = b.start(limited), b.start(limited)
    b.worker.drain()
    for _ in range(10):
        send(
            b,
            *(
                Receipt(ACCOUNT, run, StepId(step), 1)
                for run in (first, second)
                for step in ("deadline", "settle", "admit")
            ),
        )
        send(b, *(Receipt(ACCOUNT, first, one.step, 0) for one in b.steps(first)))
        b.worker.drain()
        b.clock.turn_to(b.clock.now() + 10_000)
    assert (b.result(first).status, b.result(second).status) == ("waiting", "queued")
    b.work()
    assert (b.result(first).status, b.result(second).status) == ("completed", "completed")


def test_a_message_that_is_given_back_is_no_crash(b: Bench) -> None:
    """However often a worker that is alive gives a step back, it is not taken for one that kills its workers."""
    run = b.start(flow("a: {type: transform, params: {value: 1}}"))
    queue = b.engine.parts.backend.queue
    for _ in range(50):
        [delivery] = queue.receive("another", b.clock.now(), b.clock.now() + 30_000, 10)
        queue.release([delivery.receipt], b.clock.now())
    b.work()
    assert b.result(run).output == {"a": 1}


def test_a_run_that_becomes_unreadable_meanwhile_loses_nothing(b: Bench, server: RecordingServer) -> None:
    """What a newer program has written over a run is left to it: the message stays until somebody can read it."""
    run = b.start(flow(SENDS), server.url)
    runs = b.engine.parts.backend.runs
    load, commit = runs.load, runs.commit

    def lost(commits: Sequence[Commit]) -> Sequence[bool]:
        rewrite_head(b, run, b'{"v": 99}')
        runs.commit = commit  # type: ignore[method-assign]  # the next one finds what is there
        return [False] * len(commits)

    runs.commit = lost  # type: ignore[method-assign]  # another program was faster
    b.worker.drain()
    runs.load = load  # type: ignore[method-assign]  # the program that knows the format is this one, later
    assert b.result(run).status == "running"
    b.work()
    assert b.result(run).status == "completed"
