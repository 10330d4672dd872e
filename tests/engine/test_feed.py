"""Events are derived from what is stored: stable ids, complete for readers that come late or come back."""

from __future__ import annotations

from flowrunner.core.ids import RunId

from tests.engine.harness import ACCOUNT, Bench, bench, flow

DOCUMENT = flow("""
a: {type: script, hooks: {exec: "log('one'); emit('tick', {n: 1}); return 1"}, next: b}
b: {type: script, retry: {max_attempts: 2, delay: 1s, on: ["*"]}, hooks: {exec: "throw new Error('no')"}, on_error: continue, next: c}
c: {type: approval, params: {message: "go?"}, next: {approved: d}}
d: {type: transform, when: false}""")


def types(b: Bench, run: RunId, cursor: int = 0) -> list[str]:
    return [event.type for event in b.engine.feed.read(ACCOUNT, run, cursor).events]


def test_a_late_reader_gets_the_whole_history_in_order() -> None:
    """Started first, ended last, each step's events together."""
    with bench() as b:
        run = b.start(DOCUMENT)
        b.work()
        b.engine.control.signal(ACCOUNT, run, "c", {"approved": True})
        b.work()
        assert types(b, run) == [
            "run.started",
            *("step.scheduled", "step.started", "step.log", "step.event", "step.succeeded"),
            *("step.scheduled", "step.started", "step.retrying"),
            *("step.scheduled", "step.started", "step.failed"),
            *("step.scheduled", "step.started", "step.waiting", "step.succeeded"),
            *("step.scheduled", "step.skipped"),
            "run.completed",
        ]


def test_ids_are_unique_and_stable() -> None:
    """Reading twice gives the same ids."""
    with bench() as b:
        run = b.start(DOCUMENT)
        b.work()
        first, second = (b.engine.feed.read(ACCOUNT, run).events for _ in range(2))
        ids = [event.id for event in first]
        assert len(set(ids)) == len(ids)
        assert ids == [event.id for event in second]
        assert all(event.document()["run_id"] == run for event in first)


def test_a_reader_that_comes_back_gets_everything_later() -> None:
    """With its cursor; what it saw of a step that was under way comes again under the same ids."""
    with bench() as b:
        run = b.start(DOCUMENT)
        b.work()
        page = b.engine.feed.read(ACCOUNT, run)
        assert not page.ended
        assert page.events[-1].type == "step.waiting"
        b.engine.control.signal(ACCOUNT, run, "c", {"approved": True})
        b.work()
        later = b.engine.feed.read(ACCOUNT, run, page.cursor)
        seen = {event.id for event in page.events}
        fresh = [event.type for event in later.events if event.id not in seen]
        assert fresh == ["step.succeeded", "step.scheduled", "step.skipped", "run.completed"]
        assert later.ended
        assert b.engine.feed.read(ACCOUNT, run, later.cursor).events == later.events[-1:]


def test_a_retry_under_way_is_told_as_such() -> None:
    """A failed attempt that will be repeated is no failure of the step yet."""
    with bench() as b:
        run = b.start(DOCUMENT)
        b.work(until=b.clock.now() + 1)
        assert "step.retrying" in types(b, run)
