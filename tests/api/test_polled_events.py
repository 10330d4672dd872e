"""Events in pieces, for servers that cannot stream: a client that comes back sees one feed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from flowrunner.api import polling
from flowrunner.cli.remote.client import connected
from flowrunner.cli.remote.following import LOST_IN_A_ROW, follow
from flowrunner.cli.remote.profiles import Target
from flowrunner.core.ids import RunId
from flowrunner.ports.backend import Backend
from flowrunner.services.identity import Role

from tests.api.live_server import LiveServer, eventually, live_server, order_holds, read_events
from tests.engine.talking import PATIENCE

STREAM = {"Accept": "text/event-stream"}
WAITS = """
metadata: {name: waits}
nodes:
  a: {type: approval, params: {message: "go?"}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """One server for the module, which waits a tenth of a second for what is new."""
    with live_server({"live": {"delivery": "poll", "wait": "100ms"}}) as made:
        yield made


class Source:
    """What `EventSource` of a browser does: it keeps the last id, comes back, and stops at 204 (WHATWG HTML, 9.2)."""

    def __init__(self, server: LiveServer, run: RunId, path: str = "events") -> None:
        self.server = server
        self.url = f"{server.url}/v1/runs/{run}/{path}"
        self.last = ""
        self.retry = 0
        self.got: list[dict[str, Any]] = []
        self.requests = 0

    def follow(self) -> list[str]:
        with httpx2.Client(timeout=PATIENCE) as client:
            while self.once(client):
                assert self.requests < 2_000
        return [event["id"] for event in self.got]

    def once(self, client: httpx2.Client) -> bool:
        """One request; False when there will be no more."""
        self.requests += 1
        headers = {**self.server.headers(), **STREAM, **({"Last-Event-ID": self.last} if self.last else {})}
        answer = client.get(self.url, headers=headers)
        if answer.status_code == 204:
            return False
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["content-length"], "it is no stream"
        for _, name, data in read_events(iter(answer.text.split("\n"))):
            self.got.append(json.loads(data))
            assert name == self.got[-1]["type"]
        for line in answer.text.split("\n"):
            field, _, value = line.partition(": ")
            if field == "id":
                self.last = value
            elif field == "retry":
                self.retry = int(value)
        return True


def test_a_source_that_comes_back_sees_one_feed(server: LiveServer) -> None:
    """All events in order, each once, the log lines of a step while it runs; after the end it stops by itself."""
    run = server.start()
    source = Source(server, run)
    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(source.follow)
        for line in range(3):
            eventually(lambda line=line: any(event["id"].endswith(f":log{line}") for event in source.got))  # type: ignore[misc]  # bound as it is now
            server.go_on()
        got = result.result(PATIENCE)
    server.ended(run)
    assert got == list(dict.fromkeys(got)), "nothing came twice"
    assert set(got) == set(server.history(run))
    assert order_holds(got)
    assert source.got[-1]["type"] == "run.completed"


def test_a_silent_poll_says_where_to_come_back(server: LiveServer) -> None:
    """While nothing happens an answer has a place and a pause, and no event."""
    run = server.start(WAITS)
    source = Source(server, run)
    with httpx2.Client(timeout=PATIENCE) as client:
        eventually(lambda: source.once(client) and any(one["type"] == "step.waiting" for one in source.got))
        before, place = len(source.got), source.last
        assert source.once(client)
        assert (len(source.got), source.last, source.retry) == (before, place, polling.LATER)
    server.api.platform.engine.control.signal(server.api.team().account, run, "a", {"approved": True})
    assert source.follow()[-1] == "run:1:run.completed"
    assert {one["id"] for one in source.got} == set(server.history(run))


def test_waiting_reads_one_item_a_second(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who waits asks for the run alone, and for nothing of its rows until it has moved."""
    run = server.start(WAITS)
    source = Source(server, run)
    backend = server.api.platform.engine.parts.backend
    with httpx2.Client(timeout=PATIENCE) as client, counted(backend, monkeypatch) as counts:
        eventually(lambda: source.once(client) and any(one["type"] == "step.waiting" for one in source.got))
        counts.clear()
        assert source.once(client)
        assert counts.get("rows", 0) <= 2, "the page at the beginning"
        assert counts.get("loads", 0) <= 2


@contextmanager
def counted(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Count what is read of the store."""
    counts: dict[str, int] = {}

    def count(where: object, method: str, name: str) -> None:
        original = getattr(where, method)

        def call(*args: Any, **options: Any) -> Any:
            counts[name] = counts.get(name, 0) + 1
            return original(*args, **options)

        monkeypatch.setattr(where, method, call)

    count(backend.runs, "load", "loads")
    count(backend.history, "open_steps", "rows")
    count(backend.history, "committed", "rows")
    yield counts


def test_logs_in_pieces_pass_over_what_is_not_wanted(server: LiveServer) -> None:
    """A filtered reader moves on past other events without getting them, and ends with the run."""
    run = server.start()
    source = Source(server, run, "logs?follow=true&level=warning")
    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(source.follow)
        server.go_on(3)
        got = result.result(PATIENCE)
    assert [event["type"] for event in source.got] == ["step.log", "run.completed"]
    assert len(got) == len(set(got))


def test_the_command_line_follows_a_server_that_answers_in_pieces(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`flowrunner runs watch` waits through any number of silent answers and ends with the run."""
    run = server.start(WAITS)
    target = Target(server.url, server.token(), "tests")
    got: list[str] = []
    answers: list[str] = []
    with connected(target) as client:
        stream = client.stream

        def counted(path: str, query: Any, last: str | None) -> Any:
            answers.append(path)
            return stream(path, query, last)

        monkeypatch.setattr(client, "stream", counted)
        monkeypatch.setattr(client, "pause", lambda seconds: None)
        with ThreadPoolExecutor(1) as threads:
            result = threads.submit(lambda: got.extend(one["type"] for one in follow(client, f"/v1/runs/{run}/events")))
            eventually(lambda: len(answers) > 2 * LOST_IN_A_ROW)
            server.api.platform.engine.control.signal(server.api.team().account, run, "a", {"approved": True})
            result.result(PATIENCE)
    assert got[-1] == "run.completed"
    assert "step.waiting" in got


def test_who_may_not_read_gets_nothing(server: LiveServer) -> None:
    """Another account's run is not there, and a position that is none is refused."""
    run = server.start(WAITS)
    url = f"{server.url}/v1/runs/{run}/events"
    assert httpx2.get(url, headers={**server.headers(team="other"), **STREAM}, timeout=PATIENCE).status_code == 404
    assert (
        httpx2.get(url, headers={**server.headers(), **STREAM, "Last-Event-ID": "x"}, timeout=PATIENCE).status_code
        == 400
    )
    assert httpx2.get(url, headers=STREAM, timeout=PATIENCE).status_code == 401


def test_a_revoked_token_gets_no_more(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waited long is looked at again before anything is told."""
    monkeypatch.setattr(polling, "RECHECK_SECONDS", 0.0)
    run = server.start(WAITS)
    platform, team = server.api.platform, server.api.team()
    token = server.api.call("POST", "/v1/tokens", role=Role.OWNER, json={"name": "short", "scopes": ["runs:read"]})
    assert token.status_code == 201, token.text
    headers = {"Authorization": f"Bearer {token.json()['token']}", **STREAM}
    url = f"{server.url}/v1/runs/{run}/events"
    assert httpx2.get(url, headers=headers, timeout=PATIENCE).status_code == 200
    recheck = platform.authenticator.recheck

    def revoke_first(actor: Any) -> Any:
        server.api.call("DELETE", f"/v1/tokens/{token.json()['id']}")
        return recheck(actor)

    monkeypatch.setattr(platform.authenticator, "recheck", revoke_first)
    assert httpx2.get(url, headers=headers, timeout=PATIENCE).status_code == 401
    assert team.account
