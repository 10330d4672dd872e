"""What steps say reaches watchers while they run, and the store for other processes; masked, and within limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flowrunner.core.ids import RunId
from flowrunner.engine import entries
from flowrunner.engine.entries import Entries
from flowrunner.engine.records import Attempt
from flowrunner.engine.redaction import Redactor
from flowrunner.engine.reports import TELL_EVERY, WRITE_EVERY
from flowrunner.engine.watch import Change
from flowrunner.errors import StepError

from tests.engine.harness import ACCOUNT, Bench, bench, flow
from tests.engine.talking import PATIENCE, TalkRegistry

TALK = flow("""
a: {type: talk, params: {lines: [one, two], secret: "${secrets.CANARY}"}}""")


@contextmanager
def talking(document: str = TALK) -> Iterator[tuple[Bench, TalkRegistry, RunId]]:
    """A run whose worker serves in a thread; the clock stands still unless the test turns it."""
    registry = TalkRegistry()
    with bench(registry=registry, secrets={"CANARY": "tweet-tweet-tweet"}) as b:
        run = b.start(document)
        thread = threading.Thread(target=b.worker.run, daemon=True)
        thread.start()
        yield b, registry, run
        for node in (registry.talk, registry.quick):
            for _ in range(10):
                node.go.release()
        b.worker.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Heard:
    """What a watcher was told of steps under way."""

    def __init__(self) -> None:
        self.news: list[Attempt] = []
        self._changed = threading.Condition()

    def __call__(self, change: Change) -> None:
        if change.under_way is not None:
            with self._changed:
                self.news.append(change.under_way)
                self._changed.notify_all()

    def wait_for(self, lines: int) -> Attempt:
        """The first news with so many lines."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.news and len(self.news[-1].logs) >= lines, PATIENCE)
            return self.news[-1]


def stored(b: Bench, run: RunId) -> list[str]:
    """The log lines in the running row."""
    return [str(line["message"]) for attempt in b.engine.feed.under_way(ACCOUNT, run) for line in attempt.logs]


@pytest.mark.parametrize("kind", ["talk", "quicktalk"])
def test_who_watches_a_run_hears_its_steps_at_once(kind: str) -> None:
    """Each line and event, as soon as the last telling is long enough ago; whether or not the step is claimed."""
    heard = Heard()
    registry = TalkRegistry()
    node = registry.talk if kind == "talk" else registry.quick
    with bench(registry=registry) as b:
        run = b.start(flow(f"\na: {{type: {kind}, params: {{lines: [one, two]}}}}"))
        b.engine.watchers.watch(run, heard)
        thread = threading.Thread(target=b.worker.run, daemon=True)
        thread.start()
        first = heard.wait_for(1)
        assert (first.node, first.logs[0]["message"], first.events[0]["name"]) == ("a", "one", "token")
        node.go.release()
        b.clock.turn_to(b.clock.now() + TELL_EVERY)
        assert [line["message"] for line in heard.wait_for(2).logs] == ["one", "two"]
        node.go.release()
        b.worker.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_the_store_has_what_was_said_half_a_second_later() -> None:
    """The running row is written again, so that other processes see it, but not for every line."""
    with talking() as (b, registry, run):
        assert registry.talk.said.acquire(timeout=PATIENCE)
        assert stored(b, run) == []
        seen = threading.Event()
        b.engine.parts.backend.wakeups.listen(lambda topic: seen.set() if topic == "runs" else None)
        b.clock.turn_to(b.clock.now() + WRITE_EVERY)
        b.worker.wake()
        assert seen.wait(PATIENCE)
        assert stored(b, run) == ["one"]
        types = [event.type for event in b.engine.feed.read(ACCOUNT, run).events]
        assert types == ["run.started", "step.scheduled", "step.started", "step.log", "step.event"]


def test_secrets_are_masked_before_anything_leaves() -> None:
    """In what watchers hear, in the running row, and in the one at the end."""
    heard = Heard()
    with talking() as (b, registry, run):
        b.engine.watchers.watch(run, heard)
        for _ in range(2):
            assert registry.talk.said.acquire(timeout=PATIENCE)
            b.clock.turn_to(b.clock.now() + WRITE_EVERY)
            b.worker.wake()
            registry.talk.go.release()
        assert b.engine.wait(ACCOUNT, run, PATIENCE) is not None
        attempt = b.steps(run)[0]
        assert attempt.logs[2]["message"] == "my secret is ***"
        assert attempt.events[2]["data"] == {"***": ["***"]}
        everything = repr([heard.news, attempt, b.engine.feed.read(ACCOUNT, run)])
        assert "tweet" not in everything


def test_all_ids_heard_live_are_in_the_history() -> None:
    """What is told of a step under way comes under the same ids when it has ended."""
    heard = Heard()
    with talking() as (b, registry, run):
        b.engine.watchers.watch(run, heard)
        for _ in range(2):
            assert registry.talk.said.acquire(timeout=PATIENCE)
            registry.talk.go.release()
        assert b.engine.wait(ACCOUNT, run, PATIENCE) is not None
        from flowrunner.engine.run_events import attempt_events

        live = {event.id for attempt in heard.news for event in attempt_events(run, attempt)}
        assert live <= {event.id for event in b.engine.feed.read(ACCOUNT, run).events}


def test_nobody_is_told_who_watches_all_runs() -> None:
    """Metering and metrics hear of commits; a step's words are for those who follow its run."""
    told: list[Change] = []
    with talking() as (b, registry, run):
        b.engine.watchers.watch_all(told.append)
        b.engine.watchers.watch(run, lambda change: None)
        for _ in range(2):
            assert registry.talk.said.acquire(timeout=PATIENCE)
            registry.talk.go.release()
        assert b.engine.wait(ACCOUNT, run, PATIENCE) is not None
    assert [change for change in told if change.under_way is not None and change.started is None] == []
    assert any(change.ended for change in told)


# -- limits ----------------------------------------------------------------------------------------------------------


def plain(redactor: Redactor | None = None) -> Entries:
    return Entries(lambda: 7, lambda: redactor or Redactor(()))


def test_an_attempt_keeps_so_much_and_says_what_it_dropped() -> None:
    """Log lines and events have a limit each; the last line tells how many are missing."""
    said = plain()
    for index in range(400):
        said.log(f"{index} " + "x" * 1_000)
    for _ in range(400):
        said.emit("token", "y" * 1_000)
    said.close()
    said.close()
    assert 200 < len(said.logs) < 260
    assert 200 < len(said.events) < 260
    dropped = 800 - (len(said.logs) - 1) - len(said.events)
    assert str(said.logs[-1]["message"]).startswith(f"{dropped} more log lines and events were dropped")
    assert [line["level"] for line in said.logs].count("warning") == 1


def test_what_json_cannot_hold_is_refused_where_it_is_said() -> None:
    """The node that logs it fails, not the worker that writes it."""
    said = plain()
    with pytest.raises(StepError, match="the data of a log line is not a JSON value"):
        said.log("hello", data=object())
    with pytest.raises(StepError, match="event 'odd'"):
        said.emit("odd", {1: object()})
    assert not said


def test_entries_do_not_change_with_what_they_were_made_of() -> None:
    """A node may go on using its data."""
    said = plain()
    data = {"list": [1]}
    said.log("hello", data=data)
    data["list"].append(2)
    assert said.logs[0]["data"] == {"list": [1]}


def test_a_limit_in_bytes_counts_json_text() -> None:
    """One huge line does not fit."""
    said = plain()
    said.log("x" * entries.MOST_LOGGED)
    assert (said.logs, said.dropped) == ([], 1)


def test_a_step_that_says_too_much_succeeds() -> None:
    """Dropped lines are no failure."""
    with talking(flow("\na: {type: talk, params: {count: 400}}")) as (b, _, run):
        result = b.engine.wait(ACCOUNT, run, PATIENCE)
        assert result is not None
        assert result.status == "completed"
        assert "dropped" in str(b.steps(run)[0].logs[-1]["message"])
