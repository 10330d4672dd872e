"""Observers of all runs hear of each start, each commit and each end once, and can harm nothing."""

from __future__ import annotations

import logging

import pytest
from flowrunner.core.ids import RunId
from flowrunner.engine.starter import StartRequest
from flowrunner.engine.watch import Change

from tests.engine.harness import ACCOUNT, bench, flow

TWO = flow("a: {type: transform, next: b}\nb: {type: transform}")
CHILD = flow("call: {type: flow.run, params: {flow: child}}")


def test_every_run_is_told_from_its_creation_to_its_end() -> None:
    """Created once, each attempt once, ended once, with the account and the run."""
    with bench() as b:
        changes: list[Change] = []
        leave = b.engine.watchers.watch_all(changes.append)
        run = b.run(TWO).id
        assert [change.run for change in changes if change.created] == [run]
        assert [one.node for change in changes for one in change.attempts] == ["a", "b"]
        assert [change.state.status.value for change in changes if change.ended] == ["completed"]
        assert {change.account for change in changes} == {ACCOUNT}
        leave()
        seen = len(changes)
        b.run(TWO)
        assert len(changes) == seen


def test_a_run_that_exists_is_not_created_again() -> None:
    """Starting the same run id twice tells of one creation."""
    with bench() as b:
        created: list[RunId] = []
        b.engine.watchers.watch_all(lambda change: created.append(change.run) if change.created else None)
        row = b.engine.save_flow(ACCOUNT, TWO)
        for _ in range(2):
            b.engine.start(StartRequest(ACCOUNT, row.id, row.revision, run=RunId("one")))
        assert created == ["one"]


def test_child_runs_are_told_too() -> None:
    """A run that a step starts is created and ends like any other."""
    with bench() as b:
        b.engine.save_flow(ACCOUNT, TWO.replace("name: test", "name: child"))
        names: list[str] = []
        b.engine.watchers.watch_all(lambda change: names.append(change.view.row.flow_name) if change.created else None)
        assert b.run(CHILD).status == "completed"
        assert names == ["test", "child"]


def test_cancelling_is_told() -> None:
    """A run that is cancelled from outside the worker ends for its observers as well."""
    with bench() as b:
        run = b.start(flow("a: {type: delay, params: {for: 1h}}"))
        ended: list[str] = []
        b.engine.watchers.watch_all(lambda change: ended.append(change.state.status) if change.ended else None)
        b.engine.control.cancel(ACCOUNT, run)
        assert ended == ["cancelled"]


def test_an_observer_that_fails_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The run ends as ever, the next observer is told, and the log says what happened."""

    def fail(_: Change) -> None:
        raise ValueError("no")

    with bench() as b, caplog.at_level(logging.ERROR):
        seen: list[Change] = []
        b.engine.watchers.watch_all(fail)
        b.engine.watchers.watch_all(seen.append)
        assert b.run(TWO).status == "completed"
        assert seen
    assert "an observer of runs failed" in caplog.text
