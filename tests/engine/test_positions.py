"""Positions among the events of a run: any page, and a way back to any event."""

from __future__ import annotations

import pytest
from flowrunner.core.ids import RunId
from flowrunner.engine.feed import OPEN, START, WHOLE, WITHIN, Feed, Position
from flowrunner.errors import InvalidInput

from tests.engine.harness import ACCOUNT, bench, flow

WIDE = flow("""
a: {type: script, hooks: {exec: "log('one'); emit('tick'); log('two'); return [1, 2, 3]"}, next: [each, wait, wait2]}
each: {type: script, foreach: {items: "${prev}"}, hooks: {exec: "log('item ' + item); return item"}}
wait: {type: approval, params: {message: "go?"}, hooks: {post: "log('answered')"}, next: {approved: b}}
wait2: {type: approval, params: {message: "go on?"}, hooks: {post: "log('answered')"}}
b: {type: script, retry: {max_attempts: 2, delay: 1s, on: ["*"]}, on_error: continue, hooks: {exec: "throw new Error('no')"}}""")


def pages(feed: Feed, run: RunId, limit: int, after: Position = START) -> list[str]:
    """The ids on all pages until there are no more."""
    found: list[str] = []
    for _ in range(1_000):
        page = feed.page(ACCOUNT, run, after, limit)
        found += [placed.event.id for placed in page.events]
        after = page.cursor
        if not page.more:
            return found
    raise AssertionError("the pages go on for ever")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_pages_of_any_length_are_the_history(limit: int) -> None:
    """Each event once, in the same order, for a run that waits and for one that has ended."""
    with bench() as b:
        run = b.start(WIDE)
        b.work()
        whole = [event.id for event in b.engine.feed.read(ACCOUNT, run).events]
        assert pages(b.engine.feed, run, limit) == whole
        for step in ("wait", "wait2"):
            b.engine.control.signal(ACCOUNT, run, step, {"approved": True})
            b.work()
        whole = [event.id for event in b.engine.feed.read(ACCOUNT, run).events]
        assert whole[-1] == "run:1:run.completed"
        assert pages(b.engine.feed, run, limit) == whole


def test_from_every_event_of_an_ended_run_exactly_the_rest_follows() -> None:
    """Nothing is missing and nothing comes twice, wherever the reader was cut off."""
    with bench() as b:
        run = b.start(WIDE)
        b.work()
        for step in ("wait", "wait2"):
            b.engine.control.signal(ACCOUNT, run, step, {"approved": True})
            b.work()
        history = b.engine.feed.page(ACCOUNT, run).events
        for index, placed in enumerate(history):
            again = Position.parse(str(placed.position))
            rest = b.engine.feed.page(ACCOUNT, run, again).events
            assert [one.event.id for one in rest] == [one.event.id for one in history[index + 1 :]]


def test_what_has_moved_on_since_is_told_again_and_not_left_out() -> None:
    """A reader that was cut off while steps waited gets all that follows, whatever was committed in between."""
    with bench() as b:
        run = b.start(WIDE)
        b.work()
        before = b.engine.feed.page(ACCOUNT, run).events
        b.engine.control.signal(ACCOUNT, run, "wait2", {"approved": True})
        b.work()
        b.engine.control.signal(ACCOUNT, run, "wait", {"approved": True})
        b.work()
        whole = {placed.event.id for placed in b.engine.feed.page(ACCOUNT, run).events}
        for index, placed in enumerate(before):
            seen = {one.event.id for one in before[: index + 1]}
            assert seen | set(pages(b.engine.feed, run, 4, placed.position)) == whole


def test_entries_stand_on_the_side_of_the_wait_on_which_they_were_made() -> None:
    """What a step says after its wait comes after the event of the wait."""
    with bench() as b:
        run = b.start(WIDE)
        b.work()
        b.engine.control.signal(ACCOUNT, run, "wait", {"approved": True})
        b.work()
        events = [event for event in b.engine.feed.read(ACCOUNT, run).events if event.step_id == "wait"]
        assert [event.type for event in events] == [
            "step.scheduled",
            "step.started",
            "step.waiting",
            "step.log",
            "step.succeeded",
        ]


@pytest.mark.parametrize(
    "text", ["", "x", "12", "-1~a", "1 ~a", "1~a b", "1~" + "a" * 300, "9" * 20 + "~a", "1~ä", "12.0:1:log0"]
)
def test_a_malformed_position_is_refused(text: str) -> None:
    """What `str` never writes is not guessed at; the id of an event is no position."""
    with pytest.raises(InvalidInput, match="no position"):
        Position.parse(text)


@pytest.mark.parametrize(
    "position",
    [Position(99, WHOLE, "run:1:run.started"), Position(2, WITHIN, "no such event"), Position(1, OPEN, "nothing")],
)
def test_a_made_up_position_loses_nothing_that_follows(position: Position) -> None:
    """One from the future is the beginning; an unknown event is one that has not been seen."""
    with bench() as b:
        run = b.start(WIDE)
        b.work()
        whole = b.engine.feed.page(ACCOUNT, run).events
        got = b.engine.feed.page(ACCOUNT, run, position).events
        after = position.rev if position.rev <= 10 else 0
        due = {one.event.id for one in whole if one.position.rev > after}
        assert due <= {one.event.id for one in got}
        assert len(got) == len(whole) or position.rev < 99
