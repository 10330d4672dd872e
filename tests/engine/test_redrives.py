"""Runs that are ended from outside, and go on after their end."""

from __future__ import annotations

import pytest
from flowrunner.core.ids import RunId
from flowrunner.core.state import parent_of_item
from flowrunner.engine.history import StepReader
from flowrunner.errors import Conflict
from flowrunner.ports.runs import RowStatus

from tests.engine.harness import ACCOUNT, bench, flow
from tests.servers import RecordingServer, Reply, flaky


def test_cancel_is_final_and_reaches_children() -> None:
    """After cancel nothing starts; runs that the run waits for are cancelled, too."""
    document = flow("""
a: {type: flow.run, params: {inline: {metadata: {name: inner}, nodes: {w: {type: wait.callback}}}}, next: b}
b: {type: log}""")
    with bench() as b:
        run = b.start(document)
        b.work()
        child = RunId(next(one.wait.child for one in b.steps(run) if one.wait and one.wait.child))
        b.engine.control.cancel(ACCOUNT, run)
        assert b.result(run).status == "cancelled"
        assert b.engine.run(ACCOUNT, child).status == "cancelled"
        b.work()
        assert b.path(run) == []
        with pytest.raises(Conflict):
            b.engine.control.cancel(ACCOUNT, run)


def test_redrive_goes_on_from_the_failed_step() -> None:
    """What had succeeded is not executed again; the failed step gets a fresh budget."""
    document = flow("""
a: {type: store, params: {op: increment, key: a}, next: b}
b: {type: http.request, params: {url: "${input}"}, next: c}
c: {type: transform, params: {value: "${nodes.a.output.value}"}}""")
    with RecordingServer(flaky(1)) as server, bench(allow=["127.0.0.1"]) as b:
        run = b.start(document, server.url)
        b.work()
        assert b.result(run).status == "failed"
        b.engine.control.redrive(ACCOUNT, run)
        b.work()
        result = b.result(run)
        assert (result.status, result.output) == ("completed", {"c": 1})
        assert [(one.node, one.attempt) for one in b.steps(run)] == [("a", 1), ("b", 1), ("b", 2), ("c", 1)]


def test_redrive_repeats_only_the_failed_items() -> None:
    """A foreach that failed takes up where it was."""
    document = flow("""
a: {type: http.request, foreach: {items: [1, 2, 3, 4], max_concurrency: 2}, params: {url: "${input}/${item}", response: text}}""")
    fail = {"on": True}

    def route(request: object) -> Reply:
        bad = fail["on"] and request.path == "/3"  # type: ignore[attr-defined]  # a Received
        return Reply(400) if bad else Reply(body=request.path.encode())  # type: ignore[attr-defined]  # as above

    with RecordingServer(route) as server, bench(allow=["127.0.0.1"]) as b:
        run = b.start(document, server.url)
        b.work()
        failed = b.result(run)
        assert failed.status == "failed"
        assert failed.error is not None
        assert failed.error["details"]["index"] == 2
        fail["on"] = False
        b.engine.control.redrive(ACCOUNT, run)
        fresh = StepReader(b.engine.parts.backend.history, b.engine.services.values)
        b.engine.services.reader.__dict__.update(fresh.__dict__)  # as in another process, which remembers nothing
        b.work()
        output = b.result(run).output
        assert [item["body"] for item in output["a"]] == ["/1", "/2", "/3", "/4"]
        assert sorted(request.path for request in server.requests).count("/1") == 1
        parents = [(one.attempt, one.status.value) for one in b.steps(run) if not parent_of_item(one.step)]
        assert parents == [(1, "failed"), (2, "succeeded")]


def test_redrive_from_a_named_node_runs_what_lies_behind_it_again() -> None:
    """Also for a run that completed."""
    document = flow("""
a: {type: transform, params: {value: 1}, next: b}
b: {type: store, params: {op: increment, key: b}, next: c}
c: {type: transform, params: {value: "${prev.value}"}}""")
    with bench() as b:
        run = b.start(document)
        b.work()
        assert b.result(run).output == {"c": 1}
        b.engine.control.redrive(ACCOUNT, run, "b")
        b.work()
        assert b.result(run).output == {"c": 2}
        with pytest.raises(Conflict, match="no node"):
            b.engine.control.redrive(ACCOUNT, run, "nowhere")


def test_a_step_that_ended_after_the_cancel_is_taken_over_by_a_redrive() -> None:
    """Its effect happened, so it is not executed a second time."""
    document = flow("""
a: {type: http.request, params: {url: "${input}"}, next: b}
b: {type: transform, params: {value: "${prev.status}"}}""")
    with bench(allow=["127.0.0.1"]) as b:
        runs: list[str] = []

        def route(_: object) -> Reply:
            b.engine.control.cancel(ACCOUNT, runs[0])  # type: ignore[arg-type]  # a RunId
            return Reply(body=b"{}")

        with RecordingServer(route) as server:
            runs.append(b.start(document, server.url))
            b.work()
            assert b.result(runs[0]).status == "cancelled"  # type: ignore[arg-type]  # a RunId
            late = b.steps(runs[0])[0]  # type: ignore[arg-type]  # a RunId
            assert (late.status, late.rev) == (RowStatus.SUCCEEDED, 0)
            b.engine.control.redrive(ACCOUNT, runs[0])  # type: ignore[arg-type]  # a RunId
            b.work()
            assert b.result(runs[0]).output == {"b": 200}  # type: ignore[arg-type]  # a RunId
            assert len(server.requests) == 1
