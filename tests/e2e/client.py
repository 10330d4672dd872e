"""A client of the service, written from docs/api.md alone: nothing here imports the package."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from websockets.sync.client import ClientConnection, connect

PATIENCE = float(os.environ.get("E2E_PATIENCE", "120"))
"""Seconds for anything to happen; nothing takes a tenth of that on a machine that has nothing else to do."""

ENDED = ("completed", "failed", "cancelled")
LAST = ("run.completed", "run.failed", "run.cancelled")
PASSWORD = "correct horse battery staple"

never = threading.Event()


@dataclass(frozen=True)
class Place:
    """Where the service is."""

    api: str
    socket: str


@dataclass
class Team:
    """An account with its owner's token."""

    place: Place
    name: str
    account: str = ""
    token: str = ""
    http: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx2.Client(base_url=self.place.api, timeout=PATIENCE)

    def close(self) -> None:
        self.http.close()

    def sign_up(self, password: str = PASSWORD) -> None:
        """As a person would: an account, then a token for this machine."""
        person = {"name": self.name, "username": self.name, "password": password}
        made = self.http.post("/v1/accounts", json=person)
        assert made.status_code == 201, made.text
        self.account = made.json()["id"]
        who = self.http.get("/v1/session", auth=(self.name, password))
        assert who.status_code == 200, who.text
        wish = {"name": "acceptance", "scopes": who.json()["permissions"]}
        token = self.http.post("/v1/tokens", json=wish, auth=(self.name, password))
        assert token.status_code == 201, token.text
        self.token = token.json()["token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def call(self, method: str, path: str, *expected: int, **more: Any) -> Any:
        """The answer's JSON; fails with the server's own words on any status but the expected."""
        answer = self.http.request(method, path, **more)
        assert answer.status_code in (expected or (200, 201, 202, 204)), f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None

    def flow(self, text: str) -> str:
        """Store a flow; its id."""
        made = self.call("POST", "/v1/flows", 201, content=text, headers={"Content-Type": "application/yaml"})
        return str(made["id"])

    def start(self, flow: str, input: Any = None, **more: Any) -> str:
        """Start a run; its id."""
        run = self.call("POST", f"/v1/flows/{flow}/runs", 202, json={"input": input}, **more)
        return str(run["id"])

    def run(self, text: str, input: Any = None) -> dict[str, Any]:
        """Store a flow and run it to its end."""
        return self.ended(self.start(self.flow(text), input))

    def get(self, run: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.call("GET", f"/v1/runs/{run}", 200)
        return shown

    def ended(self, run: str, patience: float = PATIENCE) -> dict[str, Any]:
        return self.until(run, *ENDED, patience=patience)

    def until(self, run: str, *statuses: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The run, when it has one of these statuses."""
        shown: dict[str, Any] = {}
        for shown in tries(lambda: self.get(run), patience):
            if shown["status"] in statuses:
                return shown
        raise AssertionError(f"run {run} is {shown['status']} after {patience:.0f} s: {self.steps(run)}")

    def steps(self, run: str) -> list[dict[str, Any]]:
        """All of them, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.call("GET", f"/v1/runs/{run}/steps", 200, params={"cursor": cursor} if cursor else {})
            found += page["items"]
            cursor = page["next_cursor"]
        return found

    def step(self, run: str, step: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.call("GET", f"/v1/runs/{run}/steps/{step}", 200)
        return shown

    def waiting(self, run: str, step: str) -> dict[str, Any]:
        """A step, when it waits; what it waits with."""
        self.until(run, "waiting", *ENDED)
        shown = self.step(run, step)
        assert shown["status"] == "waiting", shown
        wait: dict[str, Any] = shown["wait"]
        return wait

    def events(self, run: str) -> Iterator[dict[str, Any]]:
        """What a browser's EventSource hears (WHATWG HTML, 9.2): it comes back whenever the server has closed, and the
        page closes it when the run has ended.
        """
        headers = {"Accept": "text/event-stream", **self.http.headers}
        pause = 3.0
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with self.http.stream("GET", f"/v1/runs/{run}/events", headers=headers) as answer:
                assert answer.status_code == 200, answer.read()
                assert answer.headers["content-type"].startswith("text/event-stream")
                for name, value in _fields(answer.iter_lines()):
                    if name == "retry":
                        pause = int(value) / 1_000
                    elif name == "id":
                        headers["Last-Event-ID"] = value
                    elif name == "data":
                        event = json.loads(value)
                        yield event
                        if event["type"] in LAST:
                            return
            never.wait(min(pause, 3.0))
        raise AssertionError(f"the events of {run} did not end")

    def socket(self) -> ClientConnection:
        """A WebSocket, opened with a ticket as browsers do."""
        ticket = self.call("POST", "/v1/ws/tickets", 201)["ticket"]
        return connect(f"{self.place.socket}?ticket={ticket}", open_timeout=PATIENCE, close_timeout=5)


def _fields(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(":")
        if name:
            yield name, value.removeprefix(" ")


def tries(look: Any, patience: float = PATIENCE, pause: float = 0.25) -> Iterator[Any]:
    """Look again and again; the caller stops when it has seen enough."""
    deadline = time.monotonic() + patience
    while True:
        yield look()
        if time.monotonic() > deadline:
            return
        never.wait(pause)


def hear(socket: ClientConnection) -> dict[str, Any]:
    """The next message about something that was asked for."""
    while True:
        message: dict[str, Any] = json.loads(socket.recv(timeout=PATIENCE))
        if message["type"] not in {"ping", "ready"}:
            return message


def say(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def sign(secret: str, body: bytes, at: int | None = None, id: str | None = None) -> Mapping[str, str]:
    """The headers of Standard Webhooks, computed as its specification says."""
    id = id or f"msg_{secrets.token_hex(8)}"
    stamp = str(int(time.time()) if at is None else at)  # noqa: TID251  # the clock that senders have
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        "Content-Type": "application/json",
    }


def fresh(prefix: str) -> str:
    """A name that nobody has."""
    return f"{prefix}-{secrets.token_hex(4)}"
