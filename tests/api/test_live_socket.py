"""The WebSocket: who may open it, what one can subscribe to, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx2
import pytest
from flowrunner.api import websocket
from flowrunner.services.identity import Permission, Role
from flowrunner.services.socket_messages import MOST_MESSAGE
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync import client as sockets
from websockets.sync.client import ClientConnection
from websockets.typing import Origin

from tests.api.harness import service
from tests.api.live_server import LiveServer, eventually, live_server, order_holds
from tests.attacks import attacks, needs_corpus
from tests.engine.talking import PATIENCE

Message = dict[str, Any]
connect = partial(sockets.connect, open_timeout=PATIENCE, close_timeout=PATIENCE)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """One server for the module."""
    with live_server() as made:
        yield made


class Client:
    """One end of a connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def hear(self) -> Message:
        heard: Message = json.loads(self.connection.recv(PATIENCE))
        return heard

    def until(self, kind: str) -> list[Message]:
        """All messages up to the first of a kind."""
        found = [self.hear()]
        while found[-1]["type"] != kind:
            found.append(self.hear())
        return found

    def code(self) -> int | None:
        """The code with which the server closes; what it says before that is not listened to."""
        try:
            while True:
                self.connection.recv(PATIENCE)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


@contextmanager
def opened(server: LiveServer, *, team: str = "acme", role: Role = Role.VIEWER) -> Iterator[Client]:
    """A connection that is known by its first message."""
    with connect(server.socket_url) as connection:
        client = Client(connection)
        client.say(type="auth", token=server.token(role, team))
        assert client.hear() == {"type": "ready"}
        yield client


def ticket(server: LiveServer) -> str:
    answer = server.api.call("POST", "/v1/ws/tickets", role=Role.VIEWER)
    assert answer.status_code == 201
    return str(answer.json()["ticket"])


def test_a_ticket_comes_with_the_address_to_open(server: LiveServer) -> None:
    """A client need not know where WebSockets are."""
    answer = httpx2.post(f"{server.url}/v1/ws/tickets", headers=server.headers(), timeout=PATIENCE).json()
    assert answer["url"] == f"{server.socket_url}?ticket={answer['ticket']}"
    with connect(answer["url"]) as connection:
        assert Client(connection).hear() == {"type": "ready"}


def test_the_address_is_that_of_the_installation() -> None:
    """Where people reach the server, or where a gateway holds the connections."""
    gateway = {"public_socket_url": "wss://live.example.com/live"}
    for settings, start in (
        ({"public_url": "https://flows.example.com/x/"}, "wss://flows.example.com/x/v1/ws?ticket="),
        ({"public_url": "https://flows.example.com", "live": gateway}, "wss://live.example.com/live?ticket="),
    ):
        with service(settings) as api:
            assert api.call("POST", "/v1/ws/tickets").json()["url"].startswith(start)


def test_a_run_is_watched_from_its_start_to_its_end(server: LiveServer) -> None:
    """Every event, in order, each with the position to come back with; then the subscription is over."""
    run = server.start()
    with opened(server) as client:
        client.say(type="subscribe", run=run)
        assert client.hear() == {"type": "subscribed", "run": run}
        server.go_on(3)
        *events, last = client.until("unsubscribed")
        assert last == {"type": "unsubscribed", "run": run, "reason": "ended"}
        ids = [message["event"]["id"] for message in events]
        assert order_holds(ids)
        assert (set(ids), ids[0], ids[-1]) == (set(server.history(run)), "run:1:run.started", "run:1:run.completed")
        assert {message["run"] for message in events} == {run}
        client.say(type="subscribe", run=run, last_event_id=events[-3]["last_event_id"])
        again = client.until("unsubscribed")
        assert [message["event"]["id"] for message in again[1:-1]] == server.history(run)[-2:]


def test_many_runs_are_watched_over_one_connection(server: LiveServer) -> None:
    """Each under its own name; the end of one does not end the others."""
    runs = [server.start() for _ in range(3)]
    with opened(server) as client:
        for run in runs:
            client.say(type="subscribe", run=run)
        server.go_on(9)
        got: dict[str, list[str]] = {run: [] for run in runs}
        ended: set[str] = set()
        while ended < set(runs):
            message = client.hear()
            if message["type"] == "event":
                got[message["run"]].append(message["event"]["id"])
            elif message["type"] == "unsubscribed":
                ended.add(message["run"])
        for run in runs:
            assert order_holds(got[run])
            assert set(got[run]) == set(server.history(run))


def test_an_account_is_watched(server: LiveServer) -> None:
    """Starts and ends of all its runs from now on; other accounts' are not among them."""
    with opened(server) as client, opened(server, team="other") as stranger:
        for one in (client, stranger):
            one.say(type="subscribe", account=True)
            assert one.hear() == {"type": "subscribed", "account": True}
        run = server.start()
        server.go_on(3)
        seen = [client.hear(), client.hear()]
        assert [(message["account"], message["event"]["type"]) for message in seen] == [
            (True, "run.started"),
            (True, "run.completed"),
        ]
        assert {message["event"]["run_id"] for message in seen} == {run}
        stranger.say(type="ping")
        assert stranger.hear() == {"type": "pong"}
        client.say(type="unsubscribe", account=True)
        assert client.hear() == {"type": "unsubscribed", "account": True, "reason": "asked"}


def test_steps_of_an_account_are_told_to_who_asks(server: LiveServer) -> None:
    """With `steps`, everything that happens."""
    with opened(server) as client:
        client.say(type="subscribe", account=True, steps=True)
        client.hear()
        run = server.start()
        server.go_on(3)
        events: list[Message] = []
        while not events or events[-1]["type"] != "run.completed":
            events.append(client.hear()["event"])
        assert {event["id"] for event in events} == set(server.history(run))


ATTACKS = [entry for entry in attacks("webhooks_and_auth.json", "auth") if "WebSocket" in str(entry["input"])]
"""The others of this area are run beside the services that they attack."""


@pytest.mark.parametrize("entry", ATTACKS, ids=lambda entry: str(entry["id"]))
@needs_corpus
def test_attacks_on_the_socket(server: LiveServer, entry: Message) -> None:
    """Every entry of the corpus on WebSockets ends as it says."""
    if entry["input"] == "WebSocket subscribe to another account's run":
        run = server.start()
        server.go_on(3)
        with opened(server, team="other", role=Role.OWNER) as client:
            for name in (run, "nothing"):
                client.say(type="subscribe", run=name)
                refused = client.hear()
                assert (refused["type"], refused["code"], refused["run"]) == ("error", "NOT_FOUND", name)
                assert refused["message"] == f"there is no run {name}"
    else:
        assert entry["input"] == "a WebSocket ticket used twice", "there is a new attack: write what it is"
        one = ticket(server)
        with connect(f"{server.socket_url}?ticket={one}") as connection:
            assert Client(connection).hear() == {"type": "ready"}
            with connect(f"{server.socket_url}?ticket={one}") as second:
                client = Client(second)
                assert client.hear()["code"] == "UNAUTHENTICATED"
                assert client.code() == websocket.UNAUTHENTICATED


@pytest.mark.parametrize(
    "first",
    [
        {"type": "auth", "token": "fr_live_wrong"},
        {"type": "subscribe", "run": "x"},
        {"type": "auth"},
        {"type": "auth", "token": "x" * 300},
        {"type": "auth", "token": "x", "more": 1},
        {},
    ],
)
def test_nobody_unknown_gets_in(server: LiveServer, first: Message) -> None:
    """The first message has to be a valid token; otherwise the connection is closed."""
    with connect(server.socket_url) as connection:
        client = Client(connection)
        client.say(**first)
        assert client.hear()["type"] == "error"
        assert client.code() == websocket.UNAUTHENTICATED


def test_who_may_not_read_runs_is_not_let_in(server: LiveServer) -> None:
    """A token without the scope `runs:read`."""
    platform = server.api.platform
    actor = platform.tokens.identify(server.token(Role.OWNER), "127.0.0.1", "test")
    _, token = platform.tokens.create(actor, "narrow", frozenset({Permission.FLOWS_READ}))
    with connect(server.socket_url) as connection:
        client = Client(connection)
        client.say(type="auth", token=token)
        assert client.hear()["code"] == "FORBIDDEN"
        assert client.code() == websocket.UNAUTHENTICATED


def test_who_says_nothing_is_shown_out(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that does not say who it is costs little."""
    monkeypatch.setattr(websocket, "AUTH_SECONDS", 0.05)
    with connect(server.socket_url) as connection:
        assert Client(connection).code() == websocket.UNAUTHENTICATED


def test_another_sites_page_is_refused(server: LiveServer) -> None:
    """A browser names the page's origin; ours and none are let in."""
    with pytest.raises(InvalidStatus, match="403"), connect(server.socket_url, origin=Origin("https://evil.example")):
        pass
    with connect(f"{server.socket_url}?ticket={ticket(server)}", origin=Origin(server.url)) as connection:
        assert Client(connection).hear() == {"type": "ready"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "JSON"),
        ("[]", "the message"),
        ('{"type": "dance"}', "type"),
        ('{"type": "subscribe"}', "name one thing"),
        ('{"type": "subscribe", "run": "a", "account": true}', "name one thing"),
        ('{"type": "subscribe", "run": "a", "account": false}', "account"),
        ('{"type": "subscribe", "run": ""}', "run"),
        ('{"type": "subscribe", "run": "a", "last_event_id": "x"}', "no position"),
        ('{"type": "unsubscribe", "run": "a"}', "no such subscription"),
        ('{"type": "auth", "token": "a"}', "known already"),
        ('{"type": "ping", "type": "ping"}', "JSON"),
        ('{"type": "ping", "x": 1}', "x"),
    ],
)
def test_a_message_that_is_none_is_answered_and_harms_nothing(server: LiveServer, text: str, said: str) -> None:
    """An error that names what is wrong; the connection stays."""
    with opened(server) as client:
        client.connection.send(text)
        answer = client.hear()
        assert answer["type"] == "error"
        assert said in answer["message"]
        client.say(type="ping")
        assert client.hear() == {"type": "pong"}


def test_bytes_are_no_message(server: LiveServer) -> None:
    """Answered like any other that is none."""
    with opened(server) as client:
        client.connection.send(b"{}")
        assert "text" in client.hear()["message"]


@pytest.mark.parametrize("size", [MOST_MESSAGE + 1, 1 << 20])
def test_a_long_message_ends_the_connection(server: LiveServer, size: int) -> None:
    """Whether the application or the protocol underneath refuses it."""
    with opened(server) as client:
        client.connection.send("x" * size)
        assert client.code() == websocket.TOO_LARGE


def test_subscriptions_are_limited_and_unique(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same one twice and one too many are refused; unsubscribing makes room."""
    monkeypatch.setattr(websocket, "MOST_SUBSCRIPTIONS", 1)
    run = server.start()
    with opened(server) as client:
        client.say(type="subscribe", account=True)
        client.hear()
        client.say(type="subscribe", account=True)
        assert client.hear()["code"] == "CONFLICT"
        client.say(type="subscribe", run=run)
        assert client.until("error")[-1]["code"] == "TOO_MANY_REQUESTS"
        client.say(type="unsubscribe", account=True)
        client.until("unsubscribed")
        client.say(type="subscribe", run=run)
        assert client.until("subscribed")[-1]["run"] == run
    eventually(lambda: server.api.platform.live.readers == 0)
    server.go_on(3)


def test_a_silent_connection_is_pinged(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """For proxies that close what is silent."""
    monkeypatch.setattr(websocket, "IDLE_SECONDS", 0.05)
    with opened(server) as client:
        assert client.hear() == {"type": "ping"}


def test_a_revoked_token_ends_the_connection(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at again and again."""
    monkeypatch.setattr(websocket, "RECHECK_SECONDS", 0.05)
    platform = server.api.platform
    actor = platform.tokens.identify(server.token(Role.EDITOR), "127.0.0.1", "test")
    with opened(server, role=Role.EDITOR) as client:
        client.say(type="subscribe", account=True)
        client.hear()
        assert actor.token is not None
        platform.tokens.revoke(actor, actor.token)
        assert client.code() == websocket.UNAUTHENTICATED
    eventually(lambda: platform.live.readers == 0)


def test_when_the_server_stops_connections_are_closed() -> None:
    """So that clients go to another one at once."""
    with live_server() as server:
        run = server.start()
        with opened(server) as client:
            client.say(type="subscribe", run=run)
            client.until("subscribed")
            server.api.platform.live.stop()
            assert client.code() == websocket.GOING_AWAY
