"""Worker processes killed with SIGKILL at random moments: what was acknowledged is never lost, committed never redone.

A server outside counts the effects by their idempotency key; the rest is read from the store after the last run has
ended ("What never happens" in docs/how-a-run-executes.md).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from flowrunner.adapters.local.clock import SystemDraws
from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.bootstrap import LazyHttp, make_backend
from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.state import parent_of_item
from flowrunner.core.status import TERMINAL
from flowrunner.engine.engine import Engine, Parts
from flowrunner.engine.starter import StartRequest
from flowrunner.nodes.registry import Registry
from flowrunner.ports.backend import Backend
from flowrunner.ports.runs import RowStatus
from flowrunner.settings import Settings, StoreSettings
from flowrunner.testing import TurnedClock

from tests.engine.harness import shared_sandbox
from tests.servers import Received, RecordingServer, Reply

ACCOUNT = AccountId("local")
KILLS = 50
RUNS = 12
LIMIT_SECONDS = 240.0
REDRIVES = 20
"""Each meets the next step that was given up: what a crash cut off keeps the claims it had."""
EFFECTS = 12
"""Requests of one run; the one of the at_most_once node may not have happened."""

FLOW = """
metadata: {name: killed}
defaults: {retry: {max_attempts: 3, delay: 50ms}}
nodes:
  start: {type: http.request, params: {url: "${input.api}/start", method: POST}, next: [left, right, each]}
  left: {type: http.request, params: {url: "${input.api}/left", method: POST}, next: left2}
  left2: {type: script, hooks: {exec: "vars.left = input; return 1"}}
  right: {type: delay, params: {for: 200ms}}
  each:
    type: http.request
    foreach: {items: "${[...Array(8).keys()]}", max_concurrency: 3}
    params: {url: "${input.api}/item/${item}", method: POST}
  join: {type: http.request, needs: [left2, right, each], params: {url: "${input.api}/join", method: POST}, next: once}
  once: {type: http.request, at_most_once: true, on_error: continue, params: {url: "${input.api}/once", method: POST}, next: last}
  last: {type: transform, params: {value: "${nodes.each.output.length}"}}
"""


def worker(store: str) -> subprocess.Popen[bytes]:
    """A worker process on the store, with a lease short enough for a test."""
    environment = {**os.environ, "FLOWRUNNER_WORKER__LEASE": "1s", "FLOWRUNNER_STORE__SYNCHRONOUS": "normal"}
    command = [sys.executable, "-m", "flowrunner", "worker", "--store", store, "--allow", "127.0.0.1"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def engine_on(backend: Backend) -> Engine:
    clock = TurnedClock(int(time.clock_gettime(time.CLOCK_REALTIME) * 1000))
    return Engine(Parts(backend, Registry(), shared_sandbox(), LocalSecrets({}), LazyHttp([]), clock, SystemDraws()))


def until_ended(engine: Engine, runs: list[RunId], seconds: float) -> list[str]:
    """Statuses when all runs have ended or the time is over."""
    limit = time.monotonic() + seconds
    while True:
        rows = engine.parts.backend.runs.load([(ACCOUNT, run) for run in runs])
        statuses = [row.status if row is not None else "lost" for row in rows]
        if all(status in TERMINAL for status in statuses) or time.monotonic() > limit:
            return statuses
        signal.sigtimedwait([], 0.1)


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_fifty_kills_lose_nothing_and_repeat_nothing_committed(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Kill -9 at random moments, 50 times, while runs with effects are under way."""
    postgres = store == "postgres"
    url = request.getfixturevalue("postgres_url") if postgres else f"sqlite:///{tmp_path}/killed.db"
    backend = make_backend(Settings(store=StoreSettings(url=url)))
    engine = engine_on(backend)
    effects: Counter[str] = Counter()

    def route(received: Received) -> Reply:
        effects[received.headers["idempotency-key"]] += 1
        return Reply(body=b"{}", headers=(("Content-Type", "application/json"),))

    draws = random.Random(7)
    runs: list[RunId] = []
    with RecordingServer(route) as server:
        row = engine.save_flow(ACCOUNT, FLOW)
        processes = [worker(url) for _ in range(2 if postgres else 1)]
        for kill in range(KILLS):
            if kill % (KILLS // RUNS) == 0 and len(runs) < RUNS:
                value = {"api": server.url}
                runs.append(engine.start(StartRequest(ACCOUNT, row.id, row.revision, value)))
            signal.sigtimedwait([], draws.uniform(0.35, 1.1))
            victim = processes.pop(0)
            victim.kill()
            victim.wait()
            processes.append(worker(url))
        statuses = until_ended(engine, runs, LIMIT_SECONDS)
        for _ in range(REDRIVES):
            if not redriven(engine, runs):
                break
            statuses = until_ended(engine, runs, LIMIT_SECONDS)
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(120)
    errors = [engine.run(ACCOUNT, run).error for run, status in zip(runs, statuses, strict=True) if status == "failed"]
    assert statuses == ["completed"] * len(runs), errors
    for run in runs:
        check(engine, run)
    assert len(effects) >= len(runs) * EFFECTS - len(runs), "an effect is missing"
    backend.close()


def redriven(engine: Engine, runs: list[RunId]) -> bool:
    """Redrive what was given up: a step whose worker was killed three times in a row is a crash loop to the engine."""
    results = [engine.run(ACCOUNT, run) for run in runs]
    given_up = [one for one in results if one.error is not None and one.error["code"] == "CRASH_LOOP"]
    for one in given_up:
        engine.control.redrive(ACCOUNT, one.id)
    return bool(given_up)


def check(engine: Engine, run: RunId) -> None:
    """What must hold of one run, from its stored history alone."""
    attempts = engine.steps(ACCOUNT, run)
    committed = [one for one in attempts if one.rev]
    assert len({(one.step, one.attempt) for one in committed}) == len(committed), "an outcome was committed twice"
    assert all(one.status.final for one in attempts), "a step was left open"
    ended = [one for one in committed if one.status is RowStatus.SUCCEEDED]
    nodes = Counter(str(one.node) for one in ended if parent_of_item(one.step) is None)
    assert nodes["join"] == 1, "the join fired once"
    assert all(count == 1 for count in nodes.values()), "each node succeeded once"
    items = {one.step for one in ended if parent_of_item(one.step) is not None}
    assert len(items) == 8, "every item ended"
    join = next(one for one in committed if one.node == "join")
    before = [one.rev for one in committed if one.node in ("left2", "right", "each")]
    assert max(before) < join.rev, "the join did not fire early"
    assert engine.run(ACCOUNT, run).output == {"last": 8}
