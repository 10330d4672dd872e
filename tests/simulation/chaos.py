"""scripts/chaos: the real thing, four worker processes on PostgreSQL, killed at random under load, and the server too.

A server outside counts the effects by their idempotency keys; when all runs have ended, each is checked from its stored
history. Printed is what was lost and what was committed twice: both have to be nothing.
"""

from __future__ import annotations

import argparse
import logging
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from flowrunner.bootstrap import make_backend
from flowrunner.core.ids import RunId
from flowrunner.core.status import TERMINAL
from flowrunner.engine.engine import Engine
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import Conflict, StoreError
from flowrunner.settings import Settings, StoreSettings

from tests.engine.test_kills import ACCOUNT, EFFECTS, FLOW, check, engine_on, redriven, until_ended, worker
from tests.postgres import Cluster
from tests.servers import Received, RecordingServer, Reply

WORKERS = 4
STARTS = 0.4
"""Seconds between two runs that are started."""
RESTART = 12.0
"""Seconds between two crashes of the database."""
LOOK = 5.0
END = 300.0
"""Seconds in which all runs have to end once nobody is killed any more."""


@dataclass
class Chaos:
    """What was done, and what it came to."""

    engine: Engine
    url: str
    cluster: Cluster
    chance: random.Random
    runs: list[RunId] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    restarts: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def rage(self, seconds: float, api: str, *, database: bool) -> None:
        """Start runs and kill what serves them, for so long."""
        row = self.engine.save_flow(ACCOUNT, FLOW)
        self.processes = [worker(self.url) for _ in range(WORKERS)]
        now = time.monotonic()
        end, start, kill, crash = now + seconds, now, now + 3, now + RESTART
        while (now := time.monotonic()) < end:
            if now >= start:
                start = now + STARTS
                run = RunId(f"chaos-{len(self.runs)}")
                self.runs.append(run)
                request = StartRequest(ACCOUNT, row.id, row.revision, {"api": api}, run=run)
                self._insist(request)
            if now >= kill:
                kill = now + self.chance.uniform(0.3, 1.5)
                self._kill()
            if database and now >= crash:
                crash = now + RESTART
                self.cluster.restart()
                self.restarts += 1
            self._supervise()
            signal.sigtimedwait([], 0.05)

    def _insist(self, request: StartRequest) -> None:
        """Start a run until somebody has said that it is."""
        while True:
            try:
                self.engine.start(request)
            except StoreError:
                signal.sigtimedwait([], 0.2)
            else:
                return

    def _kill(self) -> None:
        victim = self.processes.pop(self.chance.randrange(len(self.processes)))
        victim.kill()
        victim.wait()
        self.kills += 1
        self.processes.append(worker(self.url))

    def settle(self) -> list[str]:
        """Wait for all runs; those that were killed three times at one step are redriven, as people would."""
        end = time.monotonic() + END
        while True:
            self._supervise()
            statuses = until_ended(self.engine, self.runs, LOOK)
            over = all(status in TERMINAL for status in statuses)
            try:
                if time.monotonic() > end or (over and not redriven(self.engine, self.runs)):
                    return statuses
            except Conflict:  # its end is still being told
                signal.sigtimedwait([], 0.5)

    def _supervise(self) -> None:
        """Start again what has ended by itself: a worker that finds no database when it starts says so and ends."""
        self.processes = [one if one.poll() is None else worker(self.url) for one in self.processes]

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)

    def violations(self, statuses: list[str]) -> list[str]:
        """What must not be, run by run."""
        found = []
        for run, status in zip(self.runs, statuses, strict=True):
            if status != "completed":
                found.append(f"{run} is {status}: {self.engine.run(ACCOUNT, run).error if status != 'lost' else ''}")
                continue
            try:
                check(self.engine, run)
            except AssertionError as failure:
                found.append(f"{run}: {failure}")
        missing = len(self.runs) * (EFFECTS - 1) - len(self.effects)
        return [*found, *([f"{missing} effects are missing"] if missing > 0 else [])]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description="Kill workers and their database under load.")
    parser.add_argument("--minutes", type=float, default=0.5, help="how long (0.5)")
    parser.add_argument("--seed", type=int, default=1, help="of what is killed when")
    parser.add_argument("--no-database", action="store_true", help="leave the database alone")
    given = parser.parse_args()
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it tells of each connection that a crash has closed
    cluster = Cluster(fsync=True)
    url = cluster.new_database()
    backend = make_backend(Settings(store=StoreSettings(url=url)))
    chaos = Chaos(engine_on(backend), url, cluster, random.Random(given.seed))

    def route(received: Received) -> Reply:
        chaos.effects[received.headers["idempotency-key"]] += 1
        return Reply(body=b"{}", headers=(("Content-Type", "application/json"),))

    try:
        with RecordingServer(route) as server:
            chaos.rage(given.minutes * 60, server.url, database=not given.no_database)
            statuses = chaos.settle()
            chaos.stop()
        violations = chaos.violations(statuses)
    finally:
        for process in chaos.processes:
            process.kill()
        backend.close()
        cluster.stop()
    again = sum(chaos.effects.values()) - len(chaos.effects)
    print(*violations[:20], sep="\n")
    print(
        f"{len(chaos.runs)} runs, {chaos.kills} kills of {WORKERS} workers, {chaos.restarts} crashes of the database: "
        f"{statuses.count('lost')} lost, {len(violations)} violations; {len(chaos.effects)} effects, "
        f"{again * 1000 // max(1, len(chaos.effects))} of 1,000 repeated"
    )
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
