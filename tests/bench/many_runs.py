"""`scripts/bench runs`: looking at runs where there are many, and a worker's memory over many steps.

`--runs N` (50,000) with two steps each are executed by one worker on PostgreSQL (`--store sqlite`: on a file), of which
the memory is printed along the way; then a server is asked for lists, pages, filters and single runs.

Targets: 50 ms at the 95th percentile for each request; memory within 10 % from the first fifth of the steps to the end.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from flowrunner.core.ids import AccountId
from flowrunner.ports.backend import Backend

from tests.bench import workloads
from tests.bench.server import Served, server
from tests.postgres import Cluster

FLOW = """metadata: {name: many}
nodes:
  a: {type: transform, params: {value: "${input.number}"}, next: {default: b}}
  b: {type: json.parse, params: {text: "${input.text}"}}
"""
ROUND = 2_500
SAMPLES = 200
TARGET_MS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50_000)
    parser.add_argument("--store", choices=("postgres", "sqlite"), default="postgres")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=Path.cwd()))
    try:
        with stored(options.store, folder) as url, server(folder, url) as served:
            account = str(served.call("GET", "/v1/account")["id"])
            served.call("POST", "/v1/flows", content=FLOW, headers={"Content-Type": "application/yaml"})
            execute(url, AccountId(account), options.runs)
            print(f"\n## Requests, one after the other, {SAMPLES} each; target {TARGET_MS} ms at p95\n")
            print("| request | p50 | p95 |\n| --- | --- | --- |")
            for name, took in asked(served):
                print(f"| {name} | {statistics.median(took):.1f} ms | {sorted(took)[len(took) * 95 // 100]:.1f} ms |")
    finally:
        shutil.rmtree(folder)


@contextmanager
def stored(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/bench.db"
        return
    cluster = Cluster(fsync=True)
    try:
        yield cluster.new_database()
    finally:
        cluster.stop()


def opened(url: str) -> Backend:
    if url.startswith("sqlite"):
        from flowrunner.adapters.sqlite.backend import SqliteBackend

        return SqliteBackend(Path(url.removeprefix("sqlite:///")), "normal")
    from flowrunner.adapters.postgres.backend import PostgresBackend

    return PostgresBackend(url)


def execute(url: str, account: AccountId, runs: int) -> None:
    """The runs, of which every tenth fails; the memory of this process, which is the worker's, along the way."""
    workloads.ACCOUNT = account
    print(f"## {runs:,} runs of two steps, executed by one worker\n\n| steps | MiB | steps/s |\n| --- | --- | --- |")
    with workloads.loaded(opened(url)) as load:
        for done in range(0, runs, ROUND):
            texts = ["{}" if number % 10 else "{" for number in range(min(ROUND, runs - done))]
            begun = time.perf_counter()
            load.each(FLOW, [{"number": done + number, "text": text} for number, text in enumerate(texts)])
            rate = 2 * len(texts) / (time.perf_counter() - begun)
            print(f"| {2 * (done + len(texts)):,} | {resident():.1f} | {rate:,.0f} |", flush=True)


def resident() -> float:
    """MiB of this process in memory that is its own (`/proc/self/status`, RssAnon)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def asked(served: Served) -> Iterator[tuple[str, list[float]]]:
    """Each kind of request, and how long its answers took, in milliseconds."""
    with httpx2.Client(base_url=served.url, headers=served.headers, timeout=60) as client:

        def get(path: str) -> tuple[float, Any]:
            begun = time.perf_counter()
            answer = client.get(path)
            took = (time.perf_counter() - begun) * 1000
            answer.raise_for_status()
            return took, answer.json()

        _, first = get("/v1/runs?limit=100")
        _, flows = get("/v1/flows")
        flow = flows["items"][0]["id"]
        middle = first["items"][50]["started_at"]
        failed = get("/v1/runs?status=failed")[1]["items"][0]["id"]
        for name, path in (
            ("the newest 100 runs", "/v1/runs?limit=100"),
            ("failed runs", "/v1/runs?status=failed&limit=100"),
            ("runs of a flow", f"/v1/runs?flow={flow}&limit=100"),
            ("failed runs of a flow", f"/v1/runs?flow={flow}&status=failed&limit=100"),
            ("runs before a moment", f"/v1/runs?until={middle.replace('+', '%2B')}&limit=100"),
            ("a run", f"/v1/runs/{failed}"),
            ("its steps", f"/v1/runs/{failed}/steps"),
            ("its timeline", f"/v1/runs/{failed}/timeline"),
        ):
            yield name, [get(path)[0] for _ in range(SAMPLES)]
        cursor, pages = first["next_cursor"], list[float]()
        while cursor and len(pages) < SAMPLES:
            took, page = get(f"/v1/runs?limit=100&cursor={cursor}")
            pages.append(took)
            cursor = page.get("next_cursor")
        yield f"page after page of 100, {len(pages)} of them", pages


if __name__ == "__main__":
    main()
