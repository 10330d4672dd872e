"""`python -m tests.bench.subscribers`: how late events are for many who watch.

A server process with a worker (API, worker and hub in one process) runs flows that go round once a second; another
process holds a raw connection for each subscriber. An event's latency is the time from the end of the step, as the
worker's clock has it, to the moment at which the subscriber has it: with the commit, the hub, the server, the network
and the client's own parsing. The target is 1 s at the 99th percentile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any

FLOW = """
metadata: {name: ticker}
limits: {max_steps: 100000}
start: work
nodes:
  work: {type: transform, params: {value: "${run.id}"}, next: pause}
  pause: {type: delay, params: {for: 1s}, next: work}
"""
MEASURED = (b'"type":"step.succeeded"', b'"type":"step.waiting"')
AT = re.compile(rb'"at":"([^"]+)"')
TARGET = 1.0
PASSWORD = "correct horse battery"


def serve(store: str, runs: int) -> None:
    """The server process: says on standard output where it is and what runs, and serves until its input ends."""
    from flowrunner.cli.server import serving
    from flowrunner.services.accounts import Owner
    from flowrunner.services.authentication import Credentials
    from flowrunner.services.identity import Permission
    from flowrunner.services.runs import StartWish
    from flowrunner.settings import load_settings

    flags = {"store.url": store, "api.port": 0, "vault.key_file": str(Path(tempfile.mkdtemp()) / "keys.json")}
    loaded = load_settings({**os.environ, "FLOWRUNNER_API__REQUESTS_PER_ADDRESS": "0"}, flags)
    with serving(loaded) as (platform, server):
        platform.accounts.create("bench", Owner("bench", PASSWORD))
        basic = "Basic " + b64encode(f"bench:{PASSWORD}".encode()).decode()
        owner = platform.authenticator.authenticate(Credentials(authorization=basic))
        token = platform.tokens.create(owner, "bench", frozenset({Permission.RUNS_READ}))[1]
        stored = platform.flows.create(owner, FLOW)
        ids = [str(platform.runs.start(owner, StartWish(stored.record.id))) for _ in range(runs)]
        print(json.dumps({"url": server.url, "token": token, "runs": ids}), flush=True)
        sys.stdin.read()


class Subscribers:
    """All connections of the client process."""

    def __init__(self, facts: dict[str, Any], count: int) -> None:
        host, _, port = facts["url"].removeprefix("http://").partition(":")
        self._address = (host, int(port))
        self._head = f"Host: {host}\r\nAccept: text/event-stream\r\nAuthorization: Bearer {facts['token']}\r\n\r\n"
        self._runs: list[str] = facts["runs"]
        self._count = count
        self._times: dict[bytes, float] = {}
        self.latencies: list[float] = []
        self.measuring = 0.0
        self.open = 0

    async def run(self, seconds: float) -> None:
        """Open all connections, then measure."""
        places = asyncio.Semaphore(50)
        begun = time.perf_counter()
        tasks = [asyncio.create_task(self._subscribe(number, places)) for number in range(self._count)]
        while self.open < self._count:
            await asyncio.sleep(0.05)
            for task in tasks:
                if task.done():
                    task.result()
        print(f"{self.open:,} subscribers connected in {time.perf_counter() - begun:.1f} s")
        await asyncio.sleep(2.0)
        self.measuring = time.time()
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _subscribe(self, number: int, places: asyncio.Semaphore) -> None:
        async with places:
            reader, writer = await asyncio.open_connection(*self._address)
            run = self._runs[number % len(self._runs)]
            writer.write(f"GET /v1/runs/{run}/events HTTP/1.1\r\n{self._head}".encode())
            status = await reader.readline()
            assert b" 200 " in status, status + await reader.read(1000)
            self.open += 1
        with suppress(asyncio.CancelledError):
            while line := await reader.readline():
                if line.startswith(b"data: ") and self.measuring:
                    self._note(line, time.time())
        writer.close()

    def _note(self, line: bytes, now: float) -> None:
        if not any(kind in line for kind in MEASURED):
            return
        match = AT.search(line)
        assert match is not None
        at = self._times.get(match[1])
        if at is None:
            from flowrunner.core.times import parse_time

            at = self._times[match[1]] = parse_time(match[1].decode()) / 1000
        if at >= self.measuring:
            self.latencies.append(now - at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="sqlite")
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.store, options.runs)
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="bench-") as folder:
        store = f"sqlite:///{folder}/bench.db" if options.store == "sqlite" else options.store
        command = [sys.executable, "-m", "tests.bench.subscribers", "--serve", "--store", store]
        with subprocess.Popen(
            [*command, "--runs", str(options.runs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as server:
            assert server.stdout is not None
            subscribers = Subscribers(json.loads(server.stdout.readline()), options.subscribers)
            asyncio.run(subscribers.run(options.seconds))
            server.communicate(b"", timeout=60)
    report(subscribers.latencies, options)


def report(latencies: list[float], options: argparse.Namespace) -> None:
    """Print the figures."""
    cuts = statistics.quantiles(latencies, n=100)
    p50, p99, worst = (value * 1000 for value in (cuts[49], cuts[98], max(latencies)))
    rate = len(latencies) / options.seconds
    print(
        f"{options.subscribers:,} subscribers, {options.runs} active runs, {options.store}: {rate:,.0f} events/s "
        f"delivered; latency p50 {p50:.0f} ms, p99 {p99:.0f} ms, worst {worst:.0f} ms "
        f"(target p99 ≤ {TARGET * 1000:.0f} ms{'' if p99 <= TARGET * 1000 else ', MISSED'})"
    )


if __name__ == "__main__":
    main()
