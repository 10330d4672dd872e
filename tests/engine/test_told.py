"""What a reader was told of steps under way: it stands in the position, so that nothing is told each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flowrunner.core.ids import NodeId, RunId, StepId
from flowrunner.engine.feed import START, TOLD, Pages, Position
from flowrunner.engine.records import Attempt
from flowrunner.engine.run_events import RunEvent, Told
from flowrunner.engine.told import MOST, ToldSteps
from flowrunner.ports.runs import ClaimRequest, RowStatus, StepReport

from tests.engine.harness import ACCOUNT, Bench, bench, flow
from tests.engine.talking import TalkRegistry

TWO = flow("a: {type: talk, next: b}\nb: {type: transform}")
STEP = StepId("1.0")


@contextmanager
def under_way(document: str = TWO, steps: int = 1) -> Iterator[tuple[Bench, RunId]]:
    """A run whose first steps are claimed by somebody who says nothing yet."""
    with bench(registry=TalkRegistry()) as b:
        run = b.start(document)
        now = b.clock.now()
        b.engine.parts.backend.runs.claim(
            [
                ClaimRequest(ACCOUNT, run, StepId(f"1.{i}"), 1, NodeId("a"), "me", now, now + 60_000, said(now, 0, i))
                for i in range(steps)
            ]
        )
        yield b, run


def said(at: int, lines: int, index: int = 0) -> bytes:
    """The body of a step that has said so many lines."""
    logs = [{"at": at + line, "level": "info", "message": f"{line}"} for line in range(lines)]
    return Attempt(
        StepId(f"1.{index}"), 1, NodeId("a"), RowStatus.RUNNING, started_at=at, logs=logs, events=()
    ).encode()


def say(b: Bench, run: RunId, lines: int) -> None:
    b.engine.parts.backend.runs.report([StepReport(ACCOUNT, run, STEP, 1, "me", said(b.clock.now(), lines))])


def ask(b: Bench, run: RunId, after: Position) -> Pages:
    """As a reader that comes back with the text of its position."""
    return b.engine.feed.page(ACCOUNT, run, Position.parse(str(after)), once=True)


def ids(page: Pages) -> list[str]:
    return [placed.event.id for placed in page.events]


def test_a_reader_that_comes_back_hears_only_what_is_new() -> None:
    """What a step under way has said is told once, then only its further lines, and at last how it ended."""
    with under_way() as (b, run):
        page = ask(b, run, START)
        assert ids(page) == ["run:1:run.started", "1.0:1:scheduled", "1.0:1:started"]
        assert page.cursor.kind == TOLD
        assert ids(ask(b, run, page.cursor)) == []
        say(b, run, 2)
        page = ask(b, run, page.cursor)
        assert ids(page) == ["1.0:1:log0", "1.0:1:log1"]
        say(b, run, 3)
        page = ask(b, run, page.cursor)
        assert ids(page) == ["1.0:1:log2"]
        assert ids(ask(b, run, page.cursor)) == []
        b.clock.turn_to(b.clock.now() + 61_000)
        b.work()
        rest = ids(ask(b, run, page.cursor))
        assert rest[0] == "1.0:1:succeeded"
        assert rest[-1] == "run:1:run.completed"


def test_every_position_leads_to_the_rest() -> None:
    """Wherever a reader is cut off, before and after a commit, it misses nothing."""
    with under_way() as (b, run):
        say(b, run, 3)
        before = ask(b, run, START).events
        for index, placed in enumerate(before):
            rest = ids(ask(b, run, placed.position))
            got = {one.event.id for one in before[: index + 1]} | set(rest)
            assert got == {one.event.id for one in before}
        b.clock.turn_to(b.clock.now() + 61_000)
        b.work()
        whole = set(ids(b.engine.feed.page(ACCOUNT, run)))
        for index, placed in enumerate(before):
            seen = {one.event.id for one in before[: index + 1]}
            assert whole <= seen | set(ids(ask(b, run, placed.position)))


def test_a_commit_keeps_what_was_told_of_other_steps() -> None:
    """When one of two steps ends, what the other one has said is not told again."""
    wide = flow("a: {type: talk}\nb: {type: talk}")
    with under_way(wide, steps=2) as (b, run):
        say(b, run, 2)
        page = ask(b, run, START)
        assert "1.1:1:started" in ids(page)
        b.clock.turn_to(b.clock.now() + 61_000)
        runs = b.engine.parts.backend.runs
        now = b.clock.now()
        runs.claim([ClaimRequest(ACCOUNT, run, STEP, 1, NodeId("a"), "you", now, now + 90_000, said(now, 2))])
        b.worker.drain()
        page = ask(b, run, page.cursor)
        assert ids(page) == ["1.1:1:succeeded"]
        assert ids(ask(b, run, page.cursor)) == []


def test_of_very_many_steps_the_last_are_told_when_they_end() -> None:
    """A position has room for some; a reader is not told of the others again and again."""
    told = ToldSteps()
    for index in range(50):
        at = StepId(f"12.{index}"), 1
        for what in ("scheduled", "started"):
            told.hear(at, RunEvent(f"12.{index}:1:{what}", f"step.{what}", "r", 0))
    text = str(told)
    assert len(text) <= MOST
    assert len(str(Position(10**11, TOLD, text))) < 256
    again = ToldSteps.parse(text)
    assert again.of((StepId("12.0"), 1)) == Told(began=True)
    assert again.of((StepId("12.49"), 1)) is None
    again.keep([(StepId("12.0"), 1)])
    assert again.of((StepId("13.0"), 1)) == Told()


@pytest.mark.parametrize("text", ["", "x", "12.0:1", "12.0:1*1", "12.0:1*1.1w,nothing", "+", "12.0:1*1.1+"])
def test_made_up_positions_lose_nothing(text: str) -> None:
    """What cannot be read is a reader that was told nothing of the steps under way."""
    with under_way() as (b, run):
        page = b.engine.feed.page(ACCOUNT, run, Position(1, TOLD, text))
        assert ids(page) == ["1.0:1:scheduled", "1.0:1:started"] or text.endswith("+")
        b.clock.turn_to(b.clock.now() + 61_000)
        b.work()
        assert "1.0:1:succeeded" in ids(b.engine.feed.page(ACCOUNT, run, Position(1, TOLD, text)))


def test_a_position_from_the_future_is_the_beginning() -> None:
    """One of another run, for example."""
    with under_way() as (b, run):
        page = b.engine.feed.page(ACCOUNT, run, Position(99, TOLD, "1.0:1*5.5"))
        assert ids(page)[0] == "run:1:run.started"
