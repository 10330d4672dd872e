"""A real server on loopback for tests of live events: real time, memory, a worker in a thread, steps that talk."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from flowrunner.adapters.local.clock import SystemClock
from flowrunner.api.app import create_app
from flowrunner.cli.server import HttpServer
from flowrunner.core.ids import RunId
from flowrunner.services.identity import Role
from flowrunner.settings import ApiSettings

from tests.api.harness import Service, service
from tests.engine.talking import PATIENCE, Talk, TalkRegistry

TALK = """
metadata: {name: talk}
nodes:
  a: {type: transform, params: {value: 1}, next: b}
  b: {type: talk, params: {lines: [one, two, three]}, next: c}
  c: {type: log, params: {message: done, level: warning}}
"""


@dataclass
class LiveServer:
    """The service behind a socket."""

    api: Service
    talk: Talk
    url: str
    flows: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def socket_url(self) -> str:
        return self.url.replace("http://", "ws://") + "/v1/ws"

    def headers(
        self, more: Mapping[str, str] | None = None, role: Role = Role.VIEWER, team: str = "acme"
    ) -> dict[str, str]:
        return {**self.api.team(team).headers(role), **(more or {})}

    def token(self, role: Role = Role.VIEWER, team: str = "acme") -> str:
        return self.api.team(team).tokens[role]

    def start(self, text: str = TALK, team: str = "acme") -> RunId:
        """Start a run; it goes on by itself."""
        if (text, team) not in self.flows:
            self.flows[text, team] = self.api.flow(text, team=team)["id"]
        answer = self.api.call("POST", f"/v1/flows/{self.flows[text, team]}/runs", team=team, json={})
        assert answer.status_code == 202, answer.text
        return RunId(answer.json()["id"])

    def go_on(self, lines: int = 1) -> None:
        """Let the talking step say its next lines."""
        for _ in range(lines):
            assert self.talk.said.acquire(timeout=PATIENCE)
            self.talk.go.release()

    def ended(self, run: RunId, team: str = "acme") -> None:
        """Wait for a run's end."""
        assert self.api.platform.engine.wait(self.api.team(team).account, run, PATIENCE) is not None

    def history(self, run: RunId) -> list[str]:
        """The ids of all events of a run that has ended."""
        answer = httpx2.get(f"{self.url}/v1/runs/{run}/events?limit=1000", headers=self.headers(), timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        assert body["ended"]
        return [event["id"] for event in body["events"]]


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that another thread brings about."""
    never = threading.Event()
    for _ in range(6_000):
        if holds():
            return
        never.wait(0.02)
    raise AssertionError("it never came to hold")


@contextmanager
def live_server(settings: Mapping[str, Any] | None = None) -> Iterator[LiveServer]:
    """The service with the teams `acme` and `other`."""
    registry = TalkRegistry()
    with service(settings, clock=SystemClock(), registry=registry) as api:
        api.team("acme")
        api.team("other")
        server = HttpServer(create_app(api.platform), ApiSettings(port=0))
        worker = threading.Thread(target=api.worker.run, daemon=True)
        worker.start()
        server.start()
        try:
            yield LiveServer(api, registry.talk, server.url)
        finally:
            api.platform.live.stop()
            server.stop()
            for _ in range(100):
                registry.talk.go.release()
            api.worker.stop()
            worker.join(PATIENCE)


def read_events(lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    """Id, name and data of each server-sent event, as the standard says (WHATWG HTML, 9.2.6)."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield fields["id"], fields["event"], fields["data"]
            fields = {}


def order_holds(ids: list[str]) -> bool:
    """Within a step things happen one after the other, when repeats are dropped."""
    rank = {"scheduled": 0, "started": 1, "waiting": 3, "succeeded": 4, "failed": 4, "retrying": 4, "skipped": 4}
    steps: dict[str, list[tuple[int, str, int]]] = {}
    for id in dict.fromkeys(ids):
        step, _, what = id.rpartition(":")
        entry = re.fullmatch(r"(log|event)(\d+)", what)
        place = (2, entry[1], int(entry[2])) if entry else (rank.get(what, 0), "", 0)
        steps.setdefault(step, []).append(place)
    for places in steps.values():
        for kind in ("log", "event"):
            mine = [place for place in places if place[1] in ("", kind)]
            if mine != sorted(mine):
                return False
    return True
