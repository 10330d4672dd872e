"""WebSocket connections behind a gateway: the protocol, who hears what, and what happens between two processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.core.ids import RunId
from flowrunner.errors import Forbidden, StoreError, TooManyRequests, Unauthenticated, UnreadableRun
from flowrunner.ports.changes import StepSpoke
from flowrunner.ports.push import MOST_BYTES
from flowrunner.services import socket_messages
from flowrunner.services.identity import Role
from flowrunner.services.live_readers import LiveLimits
from flowrunner.services.socket_watches import AGAIN, AT_ONCE, LEASE
from flowrunner.services.sockets import LONGEST, RECHECK, Hail

from tests.services.gateway import Line, lines, make_sockets

WAITS = """
metadata: {name: waits}
nodes:
  a: {type: transform, params: {value: 1}, next: b}
  b: {type: approval, params: {message: "go?"}, next: {approved: c}}
  c: {type: log, params: {message: done}}
"""


@pytest.fixture(scope="module")
def new() -> Iterator[Callable[[], Line]]:
    with lines() as made:
        yield made


@pytest.fixture
def wire(new: Callable[[], Line]) -> Line:
    return new()


def started(wire: Line, text: str = WAITS, team: str = "acme") -> RunId:
    """A run that waits for an answer."""
    own = text.replace("metadata: {name: ", f"metadata: {{name: f{next(wire.numbers)}-")
    return wire.api.start(wire.api.flow(own, team=team)["id"], team=team)


def answered(wire: Line, run: RunId) -> None:
    wire.api.platform.engine.control.signal(wire.api.team().account, run, "b", {"approved": True})
    wire.api.work()


def history(wire: Line, run: RunId) -> list[str]:
    return [one.id for one in wire.api.platform.engine.feed.read(wire.api.team().account, run).events]


# -- who it is ------------------------------------------------------------------------------------------------------


def test_a_token_is_the_first_message(wire: Line) -> None:
    """Whoever proves who they are is told so, and may do it once."""
    client = wire.connect()
    assert wire.take(client) == [{"type": "ready"}]
    wire.say(client, type="ping")
    assert wire.take(client) == [{"type": "pong"}]
    wire.say(client, type="auth", token="again")
    assert wire.take(client)[0]["code"] == "VALIDATION_ERROR"


def test_a_ticket_is_good_once_and_ready_comes_with_the_first_answer(wire: Line) -> None:
    """Nothing can be sent before the connection is accepted."""
    ticket = wire.api.client.post("/v1/ws/tickets", headers=wire.api.team().headers(Role.VIEWER)).json()["ticket"]
    wire.sockets.open(Hail("c1", ticket=ticket))
    with pytest.raises(Unauthenticated):
        wire.sockets.open(Hail("c2", ticket=ticket))
    assert wire.take("c1") == []
    wire.say("c1", type="ping")
    wire.say("c1", type="ping")
    assert [one["type"] for one in wire.take("c1")] == ["ready", "pong", "pong"]


@pytest.mark.parametrize(
    "message", [{"type": "ping"}, {"type": "auth", "token": "fr_live_wrong"}, {"type": "subscribe", "account": True}]
)
def test_whoever_proves_nothing_is_let_go(wire: Line, message: dict[str, Any]) -> None:
    """They hear why, and the connection is closed."""
    wire.sockets.open(Hail("c1"))
    wire.say("c1", **message)
    assert [one["code"] for one in wire.take("c1")] == ["UNAUTHENTICATED"]
    assert wire.gateway.closed == ["c1"]
    assert wire.kept() == []


def test_a_page_of_another_origin_may_not_connect(wire: Line) -> None:
    """The handshake is refused; a page of the gateway's own host and a program are not."""
    with pytest.raises(Forbidden):
        wire.sockets.open(Hail("c1", origin="https://evil.example", host="x.execute-api.amazonaws.com"))
    wire.sockets.open(Hail("c1", origin="https://x.example", host="x.example"))
    wire.sockets.open(Hail("c2"))


def test_connections_of_an_account_are_limited(wire: Line) -> None:
    """One more is refused; another account still has room."""
    few = make_sockets(wire.api, wire.gateway, LiveLimits(per_account=1))
    for team, connection in (("acme", "c1"), ("other", "c2")):
        few.hear(Hail(connection), json.dumps({"type": "auth", "token": token(wire, team)}), wire.until())
        assert wire.take(connection) == [{"type": "ready"}]
    few.hear(Hail("c3"), json.dumps({"type": "auth", "token": token(wire, "acme")}), wire.until())
    assert wire.take("c3")[0]["code"] == TooManyRequests.code


def token(wire: Line, team: str) -> str:
    return wire.api.team(team).tokens[Role.VIEWER]


# -- what it hears --------------------------------------------------------------------------------------------------


def test_a_run_is_told_from_its_beginning_to_its_end(wire: Line) -> None:
    """The history at once, then what the stream tells, each event once and in order; then the subscription ends."""
    run = started(wire)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    messages = wire.take(client)
    assert [one["type"] for one in messages[:2]] == ["ready", "subscribed"]
    first = [one["event"]["id"] for one in messages[2:]]
    assert first == history(wire, run)
    wire.moved(run)
    assert wire.take(client) == []
    answered(wire, run)
    wire.moved(run)
    messages = wire.take(client)
    assert messages[-1] == {"type": "unsubscribed", "run": run, "reason": "ended"}
    second = [one["event"]["id"] for one in messages[:-1]]
    assert set(first) | set(second) == set(history(wire, run))
    assert second[-1] == "run:1:run.completed"
    assert wire.kept() == ["connection"]


def test_whoever_comes_back_gets_the_rest(wire: Line) -> None:
    """The position of any message leads on."""
    run = started(wire)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    events = [one for one in wire.take(client) if one["type"] == "event"]
    for index, one in enumerate(events):
        again = wire.connect()
        wire.say(again, type="subscribe", run=run, last_event_id=one["last_event_id"])
        assert wire.ids(again) == [later["event"]["id"] for later in events[index + 1 :]]
    wire.say(client, type="subscribe", run=run, last_event_id="nonsense")
    assert wire.take(client)[0]["code"] == "VALIDATION_ERROR"


def test_a_run_that_has_ended_is_told_whole(wire: Line) -> None:
    """And the subscription ends at once."""
    run = started(wire)
    answered(wire, run)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    assert wire.take(client)[-1]["reason"] == "ended"
    assert wire.kept() == ["connection"]


def test_another_accounts_run_is_not_there(wire: Line) -> None:
    """Neither to subscribe to nor, when the stream tells of it, to hear of."""
    run = started(wire, team="other")
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    error = wire.take(client)[-1]
    assert (error["code"], error["run"]) == ("NOT_FOUND", run)
    wire.say(client, type="subscribe", account=True)
    wire.take(client)
    wire.moved(run, team="other")
    assert wire.take(client) == []


def test_subscriptions_are_had_once_and_given_up(wire: Line) -> None:
    """A second one is a conflict, and after the end of one there is none."""
    run = started(wire)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    wire.take(client)
    wire.say(client, type="subscribe", run=run)
    assert wire.take(client)[0]["code"] == "CONFLICT"
    wire.say(client, type="unsubscribe", run=run)
    assert wire.take(client) == [{"type": "unsubscribed", "run": run, "reason": "asked"}]
    wire.say(client, type="unsubscribe", run=run)
    assert wire.take(client)[0]["code"] == "NOT_FOUND"
    answered(wire, run)
    wire.moved(run)
    assert wire.take(client) == []


@pytest.mark.parametrize("text", ["", "[]", '{"type": "dance"}', '{"type": "subscribe"}', '{"type": "ping", "x": 1}'])
def test_what_is_no_message_is_refused(wire: Line, text: str) -> None:
    """The connection stays."""
    client = wire.connect()
    wire.take(client)
    wire.sockets.hear(Hail(client), text, wire.until())
    assert [one["code"] for one in wire.take(client)] == ["VALIDATION_ERROR"]
    assert wire.gateway.closed == []


def test_a_message_that_is_too_long_ends_the_connection(wire: Line) -> None:
    """As on a server, where the code is 1009."""
    client = wire.connect()
    wire.take(client)
    wire.sockets.hear(Hail(client), " " * (socket_messages.MOST_MESSAGE + 1), wire.until())
    assert [one["type"] for one in wire.take(client)] == ["error"]
    assert wire.gateway.closed == [client]


def test_a_connection_has_so_many_subscriptions(wire: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused; those that have ended do not count."""
    monkeypatch.setattr("flowrunner.services.sockets.MOST_SUBSCRIPTIONS", 2)
    runs = [started(wire) for _ in range(3)]
    client = wire.connect()
    for run in runs:
        wire.say(client, type="subscribe", run=run)
    assert wire.take(client)[-1]["code"] == TooManyRequests.code
    answered(wire, runs[0])
    wire.moved(runs[0])
    wire.say(client, type="subscribe", run=runs[2])
    assert [one for one in wire.take(client) if one["type"] == "subscribed"] == [{"type": "subscribed", "run": runs[2]}]


def test_an_event_that_is_too_large_comes_without_its_data(wire: Line) -> None:
    """It names itself, so that its data can be read over HTTP."""
    long = "metadata: {name: long}\nnodes:\n  a: {type: script, hooks: {exec: \"emit('big', 'x'.repeat(140000))\"}}\n"
    run = started(wire, long)
    client = wire.connect()
    wire.say(client, type="subscribe", run=run)
    [cut] = [one for one in wire.take(client) if one.get("cut")]
    assert cut["event"]["type"] == "step.event"
    assert "data" not in cut["event"]
    assert len(json.dumps(cut)) < MOST_BYTES
    page = wire.api.call("GET", f"/v1/runs/{run}/events?limit=1000").json()["events"]
    [whole] = [one for one in page if one["id"] == cut["event"]["id"]]
    assert len(whole["data"]["data"]) == 140_000


# -- who may hear it ------------------------------------------------------------------------------------------------


def test_a_revoked_token_hears_nothing_more(wire: Line) -> None:
    """Within ten seconds: the connection is closed, and all that is kept of it goes."""
    run = started(wire)
    made = wire.api.call("POST", "/v1/tokens", json={"name": "short", "scopes": ["runs:read"]}).json()
    wire.sockets.open(Hail("c1"))
    wire.say("c1", type="auth", token=made["token"])
    wire.say("c1", type="subscribe", run=run)
    wire.say("c1", type="subscribe", account=True)
    wire.take("c1")
    assert wire.api.call("DELETE", f"/v1/tokens/{made['id']}").status_code == 204
    wire.api.later(RECHECK)
    answered(wire, run)
    wire.moved(run)
    assert {one["type"] for one in wire.take("c1")} == {"error"}
    assert "c1" in wire.gateway.closed
    assert wire.kept() == []


def test_a_client_that_is_gone_leaves_nothing(wire: Line) -> None:
    """Whether the gateway says so when it closes, or with the next message."""
    run = started(wire)
    clients = [wire.connect() for _ in range(2)]
    for client in clients:
        wire.say(client, type="subscribe", run=run)
        wire.say(client, type="subscribe", account=True)
    wire.sockets.closed(clients[0])
    wire.sockets.closed(clients[0])
    assert wire.kept() == ["connection", "watch", "watch"]
    wire.gateway.gone.add(clients[1])
    answered(wire, run)
    wire.moved(run)
    assert wire.kept() == []


def test_what_is_kept_expires_with_the_longest_connection(wire: Line) -> None:
    """API Gateway closes after two hours, with or without telling."""
    client = wire.connect()
    wire.say(client, type="subscribe", account=True)
    assert wire.kept() == ["connection", "watch"]
    wire.api.later(LONGEST)
    assert wire.kept() == []


# -- two processes at once ------------------------------------------------------------------------------------------


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
