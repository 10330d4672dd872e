"""Events over HTTP: pages, and streams that any disconnect may cut without anything being lost."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import pytest
from flowrunner.api import sse
from flowrunner.core.ids import RunId
from flowrunner.services.identity import Role

from tests.api.live_server import TALK, LiveServer, eventually, live_server, order_holds, read_events
from tests.engine.talking import PATIENCE

STREAM = {"Accept": "text/event-stream"}
ENDS = {"run.completed", "run.failed", "run.cancelled"}
SEED = 20261121


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """One server for the module; its runs do not mind each other."""
    with live_server() as made:
        yield made


class Follower:
    """A client that reads a stream, drops out now and then, and comes back with the last id it has seen."""

    def __init__(self, server: LiveServer, run: RunId, draws: random.Random, *, path: str = "events") -> None:
        self.server = server
        self.url = f"{server.url}/v1/runs/{run}/{path}"
        self.draws = draws
        self.got: list[dict[str, Any]] = []
        self.connections = 0
        self.last = ""

    def follow(self, longest: int) -> list[str]:
        """Read until the run's end, at most `longest` events at once. The ids in the order in which they came."""
        with httpx2.Client(timeout=PATIENCE) as client:
            while not (self.got and self.got[-1]["type"] in ENDS):
                self.connections += 1
                assert self.connections < 500
                self._once(client, self.draws.randint(1, longest))
        return [event["id"] for event in self.got]

    def _once(self, client: httpx2.Client, most: int) -> None:
        headers = {**self.server.headers(), **STREAM, **({"Last-Event-ID": self.last} if self.last else {})}
        with client.stream("GET", self.url, headers=headers) as answer:
            assert answer.status_code == 200
            for place, name, data in read_events(answer.iter_lines()):
                event = json.loads(data)
                assert name == event["type"]
                self.got.append(event)
                self.last = place
                most -= 1
                if not most:
                    return


def test_random_disconnects_lose_nothing(server: LiveServer) -> None:
    """What a reader got over all its connections is the whole history, in order within each step."""
    draws = random.Random(SEED)
    for _ in range(6):
        run = server.start()
        followers = [Follower(server, run, random.Random(draws.random())) for _ in range(4)]
        with ThreadPoolExecutor(4) as threads:
            results = [
                threads.submit(one.follow, longest) for one, longest in zip(followers, (1, 2, 5, 99), strict=True)
            ]
            server.go_on(3)
            got = [result.result(PATIENCE) for result in results]
        history = server.history(run)
        for ids, follower in zip(got, followers, strict=True):
            assert sorted(set(ids)) == sorted(history)
            assert order_holds(ids)
            assert {event["run_id"] for event in follower.got} == {run}
        assert followers[0].connections > 5
        assert len(got[3]) < 2 * len(history)


def test_lines_arrive_before_their_step_has_ended(server: LiveServer) -> None:
    """A step's log lines and events are streamed while it runs."""
    run = server.start()
    with httpx2.stream(
        "GET", f"{server.url}/v1/runs/{run}/events", headers=server.headers(STREAM), timeout=PATIENCE
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        events = read_events(answer.iter_lines())
        seen = []
        for number in range(3):
            for _, name, data in events:
                seen.append(name)
                if name == "step.event":
                    assert json.loads(data)["data"] == {"name": "token", "data": {"index": number}}
                    break
            assert "step.succeeded" not in seen[-3:]
            server.go_on()
        rest = [name for _, name, _ in events]
    assert rest == ["step.succeeded", "step.scheduled", "step.started", "step.log", "step.succeeded", "run.completed"]


def test_who_comes_after_the_end_gets_everything_and_the_stream_ends(server: LiveServer) -> None:
    """The same as the pages, without waiting."""
    run = server.start()
    server.go_on(3)
    server.ended(run)
    answer = httpx2.get(f"{server.url}/v1/runs/{run}/events", headers=server.headers(STREAM), timeout=PATIENCE)
    assert answer.text.startswith("retry: 2000\n")
    assert [json.loads(data)["id"] for _, _, data in read_events(iter(answer.text.splitlines()))] == server.history(run)


def test_pages_lead_through_the_history_and_on(server: LiveServer) -> None:
    """With the cursor of each page; `ended` says when to stop asking."""
    run = server.start()
    server.go_on(3)
    server.ended(run)
    got, after = [], ""
    for _ in range(100):
        query = {"limit": "4", **({"after": after} if after else {})}
        page = httpx2.get(
            f"{server.url}/v1/runs/{run}/events", params=query, headers=server.headers(), timeout=PATIENCE
        ).json()
        got += [event["id"] for event in page["events"]]
        after = page["cursor"]
        assert page["more"] == (len(page["events"]) == 4 and not page["ended"])
        if page["ended"]:
            break
    assert got == server.history(run)
    assert httpx2.get(
        f"{server.url}/v1/runs/{run}/events", params={"after": after}, headers=server.headers(), timeout=PATIENCE
    ).json() == {
        "events": [],
        "cursor": after,
        "more": False,
        "ended": True,
    }


@pytest.mark.parametrize("stream", [False, True])
def test_a_position_that_is_none_is_refused(server: LiveServer, stream: bool) -> None:
    """In the header and in the query, with the name of the place."""
    run = server.start()
    server.go_on(3)
    url = f"{server.url}/v1/runs/{run}/events"
    headers = server.headers(STREAM if stream else {})
    for given, place in (
        ({"headers": {**headers, "Last-Event-ID": "x y"}}, "Last-Event-ID"),
        ({"params": {"after": "12"}, "headers": headers}, "after"),
    ):
        answer = httpx2.get(url, **given, timeout=PATIENCE)  # type: ignore[arg-type]  # one of two shapes
        assert answer.status_code == 400
        assert answer.json()["error"]["details"] == {"field": place}


@pytest.mark.parametrize("path", ["events", "logs"])
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_another_accounts_run_is_as_good_as_missing(server: LiveServer, path: str, accept: str) -> None:
    """The same answer as for a run that nobody has."""
    run = server.start()
    server.go_on(3)
    answers = [
        httpx2.get(
            f"{server.url}/v1/runs/{one}/{path}",
            headers=server.headers({"Accept": accept}, team=team),
            timeout=PATIENCE,
        )
        for one, team in ((run, "other"), ("nothing", "acme"))
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    texts = [re.sub(r'"correlation_id":"[^"]*"', "", answer.text).replace(run, "nothing") for answer in answers]
    assert texts[0] == texts[1]


def test_logs_are_filtered_and_paged(server: LiveServer) -> None:
    """By node, by level and higher, by a text; page by page."""
    run = server.start()
    server.go_on(3)
    server.ended(run)

    def logs(**query: str) -> list[str]:
        answer = httpx2.get(
            f"{server.url}/v1/runs/{run}/logs", params=query, headers=server.headers(), timeout=PATIENCE
        )
        assert answer.status_code == 200, answer.text
        return [line["message"] for line in answer.json()["logs"]]

    assert logs() == ["one", "two", "three", "done"]
    assert logs(node="b") == ["one", "two", "three"]
    assert logs(level="warning") == ["done"]
    assert logs(text="T") == ["two", "three"]
    assert logs(node="b", text="one") == ["one"]
    assert logs(node="nothing") == []
    first = httpx2.get(f"{server.url}/v1/runs/{run}/logs?limit=3", headers=server.headers(), timeout=PATIENCE).json()
    assert (first["more"], first["ended"]) == (True, False)
    assert logs(after=first["cursor"]) == ["done"]
    assert (
        httpx2.get(
            f"{server.url}/v1/runs/{run}/logs?level=loud", headers=server.headers(), timeout=PATIENCE
        ).status_code
        == 400
    )


def test_logs_can_be_followed(server: LiveServer) -> None:
    """A stream of the wanted lines, resumed like any other, that ends with the run."""
    run = server.start()
    follower = Follower(server, run, random.Random(SEED), path="logs?follow=true&node=b")
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(follower.follow, 1)
        server.go_on(3)
        result.result(PATIENCE)
    messages = [event["data"]["message"] for event in follower.got if event["type"] == "step.log"]
    assert list(dict.fromkeys(messages)) == ["one", "two", "three"]
    assert {event["type"] for event in follower.got} == {"step.log", "run.completed"}


def test_a_silent_stream_shows_that_it_is_alive() -> None:
    """A comment goes out when nothing happens; a revoked token ends the stream, and so does a server that stops."""
    with pytest.MonkeyPatch.context() as patch, live_server({"live": {"heartbeat": 1}}) as server:
        patch.setattr(sse, "RECHECK_SECONDS", 0.2)
        run = server.start()
        platform = server.api.platform
        actor = platform.tokens.identify(server.token(Role.EDITOR), "127.0.0.1", "test")
        headers = server.headers(STREAM, Role.EDITOR)
        with httpx2.stream("GET", f"{server.url}/v1/runs/{run}/events", headers=headers, timeout=PATIENCE) as answer:
            lines = answer.iter_lines()
            assert ":" in lines
            assert actor.token is not None
            platform.tokens.revoke(actor, actor.token)
            assert "event: run.completed" not in list(lines)
        url = f"{server.url}/v1/runs/{run}/events"
        with httpx2.stream("GET", url, headers=server.headers(STREAM), timeout=PATIENCE) as answer:
            lines = answer.iter_lines()
            assert "event: step.event" in lines
            platform.live.stop()
            assert "event: run.completed" not in list(lines)


def test_readers_that_go_leave_nothing_behind(server: LiveServer) -> None:
    """A client that hangs up is noticed at once, not at the next event."""
    run = server.start()
    hub = server.api.platform.live
    url = f"{server.url}/v1/runs/{run}/events"
    before = hub.readers
    with httpx2.stream("GET", url, headers=server.headers(STREAM), timeout=PATIENCE) as answer:
        lines = answer.iter_lines()
        assert "event: step.event" in lines
        assert hub.readers == before + 1
    eventually(lambda: hub.readers == before)
    server.go_on(3)


def test_too_many_readers_are_told_to_come_back() -> None:
    """With 429 and when."""
    with live_server({"live": {"readers_per_account": 1}}) as server:
        run = server.start(TALK)
        url = f"{server.url}/v1/runs/{run}/events"
        with httpx2.stream("GET", url, headers=server.headers(STREAM), timeout=PATIENCE) as answer:
            assert answer.status_code == 200
            refused = httpx2.get(url, headers=server.headers(STREAM), timeout=PATIENCE)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            assert httpx2.get(url, headers=server.headers(), timeout=PATIENCE).status_code == 200


LOUD = """
metadata: {name: loud}
nodes:
  gate: {type: talk, params: {lines: [ready]}, next: items}
  items: {type: script, hooks: {exec: "return Array(40).fill(1)"}, next: each}
  each: {type: talk, foreach: {items: "${prev}", max_concurrency: 2}, params: {count: 240}}
"""


@contextmanager
def deaf(server: LiveServer, run: RunId) -> Iterator[socket.socket]:
    """A client that asks for events and does not read them."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.connect((host, int(port)))
        head = "".join(f"{name}: {value}\r\n" for name, value in server.headers(STREAM).items())
        made.sendall(f"GET /v1/runs/{run}/events HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        made.settimeout(PATIENCE)
        yield made


def drained(client: socket.socket) -> bytes:
    """What has come until the server closed."""
    received = b""
    with suppress(ConnectionResetError):
        while not received.endswith(b"\r\n0\r\n\r\n") and (piece := client.recv(1 << 20)):
            received += piece
    return received


@pytest.mark.parametrize("when", ["live", "replay"])
def test_a_client_that_does_not_read_is_let_go(when: str) -> None:
    """Nothing grows for it: it gets what fits into a mailbox, or what it takes in time, and may resume from there."""
    with pytest.MonkeyPatch.context() as patch, live_server() as server:
        if when == "replay":
            patch.setattr(sse, "WRITE_SECONDS", 0.3)
        run = server.start(LOUD)
        hub = server.api.platform.live
        if when == "replay":
            server.go_on()
            server.ended(run)
        with deaf(server, run) as client:
            eventually(lambda: hub.readers == 1)
            if when == "live":
                eventually(lambda: any(channel.members for channel in hub._channels.all()))
                server.go_on()
            eventually(lambda: hub.readers == 0)
            received = drained(client)
        server.ended(run)
        assert b"event: run.completed" not in received
        last = re.findall(rb"^id: (\S+)\n", received, re.MULTILINE)[-1].decode()
        url = f"{server.url}/v1/runs/{run}/events"
        rest = httpx2.get(url, headers=server.headers({**STREAM, "Last-Event-ID": last}), timeout=PATIENCE).text
        # What the last piece had of an event that was cut off is not one.
        whole = received[: received.rindex(b"\n\n")].decode()
        assert set(re.findall(r'data: {"id":"([^"]+)"', whole + rest)) == set(page_ids(server, run))


def page_ids(server: LiveServer, run: RunId) -> Iterator[str]:
    """All ids of a long history."""
    after: dict[str, str] = {}
    while True:
        query = {"limit": "1000", **after}
        page = httpx2.get(
            f"{server.url}/v1/runs/{run}/events", params=query, headers=server.headers(), timeout=PATIENCE
        ).json()
        yield from (event["id"] for event in page["events"])
        if not page["more"]:
            return
        after = {"after": page["cursor"]}
