"""The person at the terminal is asked what the run, and the runs that it waits for, want to be decided."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from flowrunner.cli.live import LiveView
from flowrunner.cli.questions import Questions
from flowrunner.core.ids import RunId

from tests.engine.harness import ACCOUNT, Bench, bench

NESTED = """
metadata: {name: nested}
nodes:
  inner:
    type: flow.run
    params:
      inline:
        metadata: {name: inner}
        nodes: {ask: {type: approval, params: {message: "Really?"}}}
"""
OTHER = "metadata: {name: other}\nnodes: {ask: {type: approval, params: {message: Other?}}}"


def started(one: Bench, document: str) -> RunId:
    run = one.start(document)
    one.work(until=one.clock.now() + 1)
    return run


def test_questions_of_inner_runs_are_found_and_forgotten() -> None:
    """One of a run that this run waits for is there until it is answered; one of another run never."""
    with bench() as one:
        run = RunId("00000000-0000-7000-8000-000000000001")
        questions = Questions(run)
        one.engine.watchers.watch_all(questions.change)
        started(one, OTHER)
        one.start(NESTED, run=run)
        one.work(until=one.clock.now() + 1)
        [question] = questions.waiting()
        assert (question.label, question.message) == ("ask", "Really?")
        assert question.run != run
        one.engine.control.signal(ACCOUNT, question.run, question.step, {"approved": True})
        one.work()
        assert questions.waiting() == []
        assert one.result(run).status == "completed"


def test_questions_of_a_cancelled_run_are_forgotten() -> None:
    """Nobody is asked for what no longer matters."""
    with bench() as one:
        run = RunId("00000000-0000-7000-8000-000000000002")
        questions = Questions(run)
        one.engine.watchers.watch_all(questions.change)
        one.start(NESTED, run=run)
        one.work(until=one.clock.now() + 1)
        assert questions.waiting() != []
        one.engine.control.cancel(ACCOUNT, run)
        one.work()
        assert questions.waiting() == []


@pytest.mark.parametrize(("reply", "status"), [("y", "completed"), ("n", "completed"), ("later", "waiting")])
def test_an_answer_at_the_terminal_reaches_the_inner_run(
    reply: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Yes and no are answers; anything else leaves it waiting, and is not asked again."""
    run = RunId("00000000-0000-7000-8000-000000000003")
    asked: list[str] = []

    def ask(question: Any) -> str:
        asked.append(str(question))
        return reply

    with bench() as one:
        view = LiveView(one.engine, "nested", run)
        monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
        monkeypatch.setattr(view._tree, "ask", ask)
        one.engine.watchers.watch(run, view.change)
        one.engine.watchers.watch_all(view.other)
        one.start(NESTED, run=run)
        one.work(until=one.clock.now() + 1)
        for _ in range(2):
            view.ask(lambda asking, step, payload: one.engine.control.signal(ACCOUNT, asking, step, payload))
        one.work()
        assert len(asked) == 1
        assert "Really?" in asked[0]
        assert one.result(run).status == status
