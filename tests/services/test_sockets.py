"""WebSocket connections behind a gateway: the protocol, who hears what, and who may."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flowrunner.errors import Forbidden, TooManyRequests, Unauthenticated
from flowrunner.ports.push import MOST_BYTES
from flowrunner.services import socket_messages
from flowrunner.services.identity import Role
from flowrunner.services.live_readers import LiveLimits
from flowrunner.services.sockets import LONGEST, RECHECK, Hail

from tests.services.gateway import Line, answered, history, lines, make_sockets, started


@pytest.fixture(scope="module")
def new() -> Iterator[Callable[[], Line]]:
    with lines() as made:
        yield made


@pytest.fixture
def wire(new: Callable[[], Line]) -> Line:
    return new()


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
