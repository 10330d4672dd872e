"""`flowrunner serve`: started, used, stopped and replaced without harm to any run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.servers import Received, RecordingServer, Reply

PATIENCE = 120
"""Seconds for anything to happen, on a machine that has everything else to do."""

PASSWORD = "rolling restarts harm nobody"
FLOW = """
metadata: {name: effects}
nodes:
  first: {type: http.request, params: {url: "${input.api}/first", method: POST}, next: each}
  each:
    type: http.request
    foreach: {items: "${[...Array(4).keys()]}", max_concurrency: 2}
    params: {url: "${input.api}/item/${item}", method: POST}
    next: last
  last: {type: http.request, params: {url: "${input.api}/last", method: POST}}
"""
SLOW = 'metadata: {name: slow}\nnodes: {a: {type: http.request, params: {url: "${input.api}/slow", method: POST}}}\n'


class Server:
    """One `flowrunner serve` process."""

    def __init__(self, store: str, folder: Path, *options: str) -> None:
        environment = {
            **os.environ,
            "FLOWRUNNER_STORE__URL": store,
            "FLOWRUNNER_VAULT__KEY_FILE": str(folder / "keys.json"),
            "FLOWRUNNER_WORKER__LEASE": "30s",
        }
        self.environment = environment
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flowrunner", "serve", "--port", "0", "--allow", "127.0.0.1", *options],
            env=environment,
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        lines = []
        while (line := self.process.stderr.readline()) and not (found := re.search(r"http://\S+:\d+", line)):
            lines.append(line)
        assert line, "".join(lines)
        assert found
        self.url = found[0]

    def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return httpx2.request(method, self.url + path, auth=("ops", PASSWORD), timeout=PATIENCE, **options)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def create_account(store: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flowrunner", "admin", "create-account", "Ops", "--owner", "ops", "--store", store],
        input=PASSWORD + "\n",
        text=True,
        capture_output=True,
        cwd=folder,
        env={**os.environ, "FLOWRUNNER_VAULT__KEY_FILE": str(folder / "keys.json")},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def finished(server: Server, run: str) -> dict[str, Any]:
    """The run when it has ended."""
    for _ in range(10 * PATIENCE):
        shown: dict[str, Any] = server.call("GET", f"/v1/runs/{run}").json()
        if shown["ended_at"]:
            return shown
        signal.sigtimedwait([], 0.1)
    raise AssertionError(f"the run does not end: {shown}")


def test_a_stopped_server_lets_steps_end(tmp_path: Path) -> None:
    """SIGTERM while a request of a step is under way: it ends, is committed, and the next server finds it so."""
    store = f"sqlite:///{tmp_path}/serve.db"
    create_account(store, tmp_path)
    stopping: list[Server] = []

    def route(received: Received) -> Reply:
        stopping[0].process.send_signal(signal.SIGTERM)
        signal.sigtimedwait([], 0.5)
        return Reply(body=b"{}")

    with RecordingServer(route) as outside:
        server = Server(store, tmp_path)
        stopping.append(server)
        flow = server.call("POST", "/v1/flows", content=SLOW).json()
        run = server.call("POST", f"/v1/flows/{flow['id']}/runs", json={"input": {"api": outside.url}}).json()
        assert server.process.wait(PATIENCE) == 0
        assert server.process.stderr is not None
        server.process.stderr.close()
        again = Server(store, tmp_path)
        assert finished(again, run["id"])["status"] == "completed"
        assert again.stop(signal.SIGINT) == 0
    assert len(outside.requests) == 1


def test_a_rolling_restart_harms_no_run(tmp_path: Path, postgres_url: str) -> None:
    """Two servers on PostgreSQL, each replaced several times while runs are started: every effect happens once."""
    create_account(postgres_url, tmp_path)
    effects: Counter[str] = Counter()

    def route(received: Received) -> Reply:
        effects[received.headers["idempotency-key"]] += 1
        return Reply(body=b"{}")

    with RecordingServer(route) as outside:
        servers = [Server(postgres_url, tmp_path) for _ in range(2)]
        flow = servers[0].call("POST", "/v1/flows", content=FLOW).json()
        runs = []
        for turn in range(4):
            for server in servers:
                for _ in range(3):
                    body = {"input": {"api": outside.url}}
                    answer = server.call("POST", f"/v1/flows/{flow['id']}/runs", json=body)
                    assert answer.status_code == 202, answer.text
                    runs.append(answer.json()["id"])
            assert servers[turn % 2].stop() == 0
            servers[turn % 2] = Server(postgres_url, tmp_path)
        ended = [finished(servers[0], run) for run in runs]
        assert [run["status"] for run in ended] == ["completed"] * len(runs)
        for server in servers:
            assert server.stop() == 0
    assert len(effects) == 6 * len(runs)
    assert set(effects.values()) == {1}, "steps that were let finish are not executed again"


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """Before anything else starts."""
    store = f"sqlite:///{tmp_path}/serve.db"
    with RecordingServer() as other:
        port = other.url.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-m", "flowrunner", "serve", "--store", store, "--port", port],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
            timeout=PATIENCE,
        )
    assert done.returncode == 2
    assert "cannot be listened on" in done.stderr
    assert "choose another --port" in done.stderr


@pytest.mark.parametrize("password", ["short", ""])
def test_an_account_needs_a_password(tmp_path: Path, password: str) -> None:
    """Nothing is made with a bad one."""
    done = subprocess.run(
        [sys.executable, "-m", "flowrunner", "admin", "create-account", "Ops", "--owner", "ops", "--store", f"sqlite:///{tmp_path}/a.db"],
        input=password + "\n",
        text=True,
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "password" in done.stderr
