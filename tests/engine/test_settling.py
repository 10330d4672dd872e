"""How runs end: scripted outputs, retention, trouble with the store, several workers on one backend."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.engine.intake import Intake, Task
from flowrunner.engine.retention import Retention, Swept
from flowrunner.engine.worker import WorkerSettings
from flowrunner.errors import NotFound, StoreError
from flowrunner.ports.queue import Delivery

from tests.engine.harness import ACCOUNT, bench, flow
from tests.servers import RecordingServer, Reply


def test_an_output_that_cannot_be_evaluated_fails_the_run() -> None:
    """The run is not completed before its output is."""
    head = 'outputs: {x: "${nodes.a.output.map(item => item)}"}'
    with bench() as b:
        run = b.start(flow("a: {type: transform, params: {value: 1}}", head))
        b.work()
        result = b.result(run)
        assert result.status == "failed"
        assert result.error is not None
        assert result.error["message"].startswith("outputs: ")
        assert result.progress < 100
        assert b.path(run) == ["a"]


def test_scripted_outputs_of_many_runs_do_not_wait_for_each_other() -> None:
    """Each is evaluated in the pool, and committed with what its run ended by."""
    with bench() as b:
        document = flow("a: {type: transform, params: {value: 2}}", 'outputs: {x: "${nodes.a.output ** 10}"}')
        runs = [b.start(document) for _ in range(5)]
        b.work()
        assert [b.result(run).output for run in runs] == [{"x": 1024}] * 5


def test_retention_removes_runs_that_ended_long_ago_and_values_whose_time_is_over() -> None:
    """Runs that wait are kept, however old."""
    with bench() as b:
        old = b.start(flow("a: {type: store, params: {op: set, key: k, value: 1, ttl: 1h}}"))
        waiting = b.start(flow("a: {type: wait.callback}"))
        b.work()
        b.clock.turn_to(b.clock.now() + 86_400_000)
        young = b.start(flow("a: {type: log}"))
        b.work()
        sweep = Retention(b.engine.parts.backend, b.clock, keep=3_600_000).sweep
        assert sweep() == Swept(runs=1, values=1)
        assert sweep() == Swept(runs=0, values=0)
        with pytest.raises(NotFound):
            b.result(old)
        assert b.result(waiting).status == "waiting"
        assert b.result(young).status == "completed"


def test_without_retention_runs_are_kept_for_ever() -> None:
    """That is the default."""
    with bench() as b:
        run = b.start(flow("a: {type: log}"))
        b.work()
        b.clock.turn_to(b.clock.now() + 10**12)
        assert Retention(b.engine.parts.backend, b.clock, keep=None).sweep().runs == 0
        assert b.result(run).status == "completed"


def test_trouble_with_the_store_loses_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that fails for a while is made again; the node is not executed a second time."""
    with RecordingServer(lambda _: Reply(body=b"{}")) as server, bench(allow=["127.0.0.1"]) as b:
        run = b.start(flow("""a: {type: http.request, params: {url: "${input}"}}"""), server.url)
        commit = b.engine.parts.backend.runs.commit
        failures = iter(range(3))

        def flaky_commit(commits: object) -> object:
            if next(failures, None) is not None:
                raise StoreError("the store is away")
            return commit(commits)  # type: ignore[arg-type]  # as it came

        monkeypatch.setattr(b.engine.parts.backend.runs, "commit", flaky_commit)
        for _ in range(3):
            with pytest.raises(StoreError):
                b.work()
        b.work()
        assert b.result(run).status == "completed"
        assert len(server.requests) == 1


def test_several_workers_share_the_work_of_one_backend() -> None:
    """Every run ends, every effect happens once."""
    with RecordingServer(lambda _: Reply(body=b"{}")) as server, bench(MemoryBackend(), allow=["127.0.0.1"]) as b:
        document = flow("""
a: {type: http.request, foreach: {items: [1, 2, 3, 4, 5], max_concurrency: 5}, params: {url: "${input}"}, next: b}
b: {type: http.request, params: {url: "${input}"}}""")
        runs = [b.start(document, server.url) for _ in range(6)]
        workers = [b.engine.worker(WorkerSettings(threads=4)) for _ in range(3)]
        threads = [threading.Thread(target=worker.run) for worker in workers]
        for thread in threads:
            thread.start()
        results = [b.engine.wait(ACCOUNT, run) for run in runs]
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join(30)
        assert [result.status for result in results if result is not None] == ["completed"] * 6
        keys = [request.headers.get("idempotency-key", request.path) for request in server.requests]
        assert len(server.requests) == 36, keys


def test_a_stopped_worker_gives_its_messages_back() -> None:
    """What it had not begun is taken by the next one at once, not when a lease ends."""
    with bench() as b:
        worker = b.engine.worker()
        thread = threading.Thread(target=worker.run)
        thread.start()
        worker.stop()
        thread.join(30)
        assert not thread.is_alive()
        run = b.start(flow("a: {type: transform, params: {value: 1}}"))
        b.work()
        assert b.result(run).output == {"a": 1}


@pytest.mark.parametrize("millis", [1, 2, 4, 5, 6, 7])
def test_a_wait_of_a_moment_ends(millis: int) -> None:
    """Also one that is over before its message could have been in the queue; never early."""
    with bench() as b:
        begun = b.clock.now()
        run = b.start(f"metadata: {{name: f}}\nnodes: {{a: {{type: delay, params: {{for: {millis}ms}}}}}}")
        b.work()
        assert b.result(run).status == "completed"
        assert b.clock.now() >= begun + millis


def test_a_clock_that_is_set_back_holds_up_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer was due when the worker looked at it, and that is what counts."""
    with bench() as b:
        run = b.start("metadata: {name: f}\nnodes: {a: {type: delay, params: {for: 1m}}}")
        due = b.worker.drain()
        assert due is not None
        b.clock.turn_to(due)
        looked = Intake.tasks

        def then_set_back(intake: Intake, deliveries: Sequence[Delivery]) -> Any:
            tasks = looked(intake, deliveries)
            if any(isinstance(task, Task) for task in tasks):
                b.clock._now = due - 1_000
            return tasks

        monkeypatch.setattr(Intake, "tasks", then_set_back)
        b.worker.drain()
        assert b.clock.now() < due
        assert b.result(run).status == "completed"
