"""WebSocket connections behind a gateway: what happens between two processes, and when one of them dies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.core.ids import RunId
from flowrunner.errors import StoreError, UnreadableRun
from flowrunner.ports.changes import StepSpoke
from flowrunner.services.socket_watches import AGAIN, AT_ONCE, LEASE
from flowrunner.services.sockets import Hail

from tests.services.gateway import Line, answered, history, lines, started


@pytest.fixture(scope="module")
def new() -> Iterator[Callable[[], Line]]:
    with lines() as made:
        yield made


@pytest.fixture
def wire(new: Callable[[], Line]) -> Line:
    return new()


def test_what_is_committed_while_the_history_is_sent_is_told_behind_it(wire: Line) -> None:
    """The stream's process finds the watch busy and rings; the first one reads on before it lets go."""
    run = started(wire)
    client = wire.connect()
    wire.take(client)
    other = wire.another()

    def meanwhile(_connection: str, message: dict[str, Any]) -> None:
        if message.get("event", {}).get("type") == "step.waiting":
            wire.gateway.before = lambda connection, message: None
            answered(wire, run)
            wire.moved(run, sockets=other)
            assert not any(one["type"] == "unsubscribed" for one in wire.gateway.sent[client]), "it only rang"

    wire.gateway.before = meanwhile
    wire.say(client, type="subscribe", run=run)
    messages = wire.take(client)
    got = [one["event"]["id"] for one in messages if one["type"] == "event"]
    assert list(dict.fromkeys(got)) == history(wire, run)
    assert messages[-1]["reason"] == "ended"


def test_two_processes_tell_nothing_twice(wire: Line) -> None:
    """Of two that have the same batch, one tells it."""
    run = started(wire)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    first = wire.ids(client)
    answered(wire, run)
    other = wire.another()
    wire.gateway.before = lambda connection, message: rung(wire, run, other)
    wire.moved(run)
    got = wire.ids(client)
    assert len(got) == len(set(got))
    assert set(first) | set(got) == set(history(wire, run))


def rung(wire: Line, run: RunId, other: Any) -> None:
    wire.gateway.before = lambda connection, message: None
    wire.moved(run, sockets=other)


def test_a_process_that_dies_is_made_up_for_when_its_lease_ends(wire: Line) -> None:
    """The sweep of each minute goes on behind what was sent."""
    run = started(wire)
    client = wire.connect()
    wire.take(client)

    def die(_connection: str, message: dict[str, Any]) -> None:
        if message["type"] == "event":
            raise KeyboardInterrupt

    wire.gateway.before = die
    with pytest.raises(KeyboardInterrupt):
        wire.say(client, type="subscribe", run=run)
    wire.gateway.before = lambda connection, message: None
    assert [one["type"] for one in wire.take(client)] == ["subscribed"]
    wire.moved(run)
    wire.sockets.sweep()
    assert wire.take(client) == [], "somebody else may still be about it"
    wire.api.later(LEASE)
    wire.sockets.sweep()
    assert wire.ids(client) == history(wire, run)
    wire.sockets.sweep()
    assert wire.take(client) == []


def test_what_the_gateway_does_not_take_is_sent_later(wire: Line) -> None:
    """No batch fails for it: the watch stays where it was and is due."""
    run = started(wire)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    wire.say(client, type="subscribe", account=True)
    wire.take(client)
    answered(wire, run)
    wire.gateway.down = True
    wire.moved(run)
    wire.gateway.down = False
    wire.sockets.sweep()
    assert wire.take(client) == []
    wire.api.later(AGAIN)
    wire.sockets.sweep()
    assert wire.ids(client)[-1] == "run:1:run.completed"


def test_a_history_that_takes_too_long_goes_on_with_the_sweep(wire: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function has seconds: what is left is due at once, and none of it is lost or comes twice."""
    monkeypatch.setattr("flowrunner.services.socket_watches.PAGE", 3)
    run = started(wire)
    answered(wire, run)
    client = wire.connect()
    wire.take(client)
    wire.sockets.hear(Hail(client), json.dumps({"type": "subscribe", "run": run}), wire.api.clock.now())
    first = wire.ids(client)
    assert len(first) == 3
    wire.sockets.sweep()
    assert first + wire.ids(client) == history(wire, run)


def test_a_store_that_fails_lets_the_batch_come_again(wire: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was told then, or its position is known."""
    run = started(wire)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    wire.take(client)
    answered(wire, run)
    entities = wire.api.platform.engine.parts.backend.entities
    original = entities.put

    def down(*args: Any, **options: Any) -> Any:
        raise StoreError("down")

    monkeypatch.setattr(entities, "put", down)
    with pytest.raises(StoreError):
        wire.moved(run)
    monkeypatch.setattr(entities, "put", original)
    wire.moved(run)
    assert wire.ids(client)[-1] == "run:1:run.completed"


def test_many_watches_are_found_by_their_runs(wire: Line) -> None:
    """With more subscriptions than are read at once, those of the runs that moved are asked for."""
    run, quiet = started(wire), started(wire)
    clients = [wire.connect() for _ in range(3)]
    for client in clients:
        wire.say(client, type="subscribe", run=run)
        wire.say(client, type="subscribe", account=True)
    crowd = wire.connect()
    entities = wire.api.platform.engine.parts.backend.entities
    one = entities.list(wire.api.team().account, "watch", wire.api.clock.now())[0]
    for index in range(AT_ONCE):
        entities.put(replace(one, id=f"other-{index:04d}/{crowd}", rev=0), wire.api.clock.now())
    answered(wire, run)
    for client in clients:
        wire.take(client)
    wire.take(crowd)
    wire.moved(run, quiet)
    assert [wire.ids(client)[-1] for client in clients] == ["run:1:run.completed"] * 3
    assert wire.take(crowd) == []


def test_nobody_who_watches_costs_one_question(wire: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each account of a batch, and no write."""
    run = started(wire)
    asked: list[str] = []
    entities = wire.api.platform.engine.parts.backend.entities

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(entities, name)

        def call(*args: Any, **options: Any) -> Any:
            asked.append(name)
            return original(*args, **options)

        return call

    for name in ("get", "put", "list", "find", "due", "delete"):
        monkeypatch.setattr(entities, name, counted(name))
    acme, other = (wire.api.team(name).account for name in ("acme", "other"))
    wire.sockets.tell([StepSpoke(acme, run), StepSpoke(acme, RunId("x")), StepSpoke(other, run)], wire.until())
    assert asked == ["list", "list"]


def test_a_run_that_is_deleted_ends_its_watches(wire: Line) -> None:
    """Its subscribers hear that there is no more to come."""
    run = started(wire)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    wire.take(client)
    assert wire.api.platform.engine.parts.backend.history.delete(wire.api.team().account, run)
    wire.moved(run)
    assert wire.take(client) == [{"type": "unsubscribed", "run": run, "reason": "failed"}]
    assert wire.kept() == ["connection"]


def test_without_time_it_is_noted_that_there_is_something_to_tell(wire: Line) -> None:
    """A batch with very many watchers leaves the rest to the sweep."""
    run = started(wire)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    wire.take(client)
    answered(wire, run)
    account, now = wire.api.team().account, wire.api.clock.now()
    for _ in range(2):
        wire.sockets.tell([StepSpoke(account, run)], now)
    assert wire.take(client) == []
    wire.sockets.sweep()
    assert wire.ids(client)[-1] == "run:1:run.completed"


def test_a_run_that_cannot_be_read_spoils_no_round(wire: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its watch is looked at again later; the others are told."""
    odd, run = started(wire), started(wire)
    client = wire.connect()
    for one in (odd, run):
        wire.say(client, type="subscribe", run=one)
    wire.take(client)
    answered(wire, odd)
    answered(wire, run)
    feed = wire.api.platform.engine.feed
    original = feed.page

    def page(account: Any, wanted: RunId, *args: Any, **options: Any) -> Any:
        if wanted == odd:
            raise UnreadableRun("a newer program goes on with it")
        return original(account, wanted, *args, **options)

    account = wire.api.team().account
    wire.sockets.tell([StepSpoke(account, odd), StepSpoke(account, run)], wire.api.clock.now())
    monkeypatch.setattr(feed, "page", page)
    wire.sockets.sweep()
    assert wire.ids(client)[-1] == "run:1:run.completed"
    wire.moved(odd, run)
    assert wire.take(client) == []
    monkeypatch.setattr(feed, "page", original)
    wire.api.later(AGAIN)
    wire.sockets.sweep()
    assert wire.ids(client)[-1] == "run:1:run.completed"


def test_a_watch_without_its_connection_goes_when_nobody_takes_its_events(wire: Line) -> None:
    """A client that was gone before its subscription was stored."""
    run = started(wire)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    entities = wire.api.platform.engine.parts.backend.entities
    assert entities.delete(wire.api.team().account, "connection", client)
    wire.gateway.gone.add(client)
    answered(wire, run)
    wire.moved(run)
    assert wire.kept() == []
