"""`python -m tests.bench.requests`: requests per second of `GET /v1/runs/{id}` on one server process.

The target is 500 a second on 2 cores, of which the one that asks needs a part. `wrk` asks if it is there (Debian's
package of that name), else connections of our own.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.server import Served, server

FLOW = "metadata: {name: bench}\nnodes: {a: {type: transform, params: {value: 1}, next: b}, b: {type: transform, params: {value: 2}}}\n"
TARGET = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=Path.cwd()))
    try:
        with server(folder) as served:
            flow = served.call("POST", "/v1/flows", content=FLOW, headers={"Content-Type": "application/yaml"})
            run = served.call("POST", f"/v1/flows/{flow['id']}/runs?wait=20s", json={})
            assert run["status"] == "completed"
            for name, path in (("GET /v1/runs/{id}", f"/v1/runs/{run['id']}"), ("GET /healthz", "/healthz")):
                print(f"## {name}: target {TARGET}/s for the first, the second is the frame's own speed\n")
                measure(served, path, options.seconds, options.connections)
    finally:
        shutil.rmtree(folder)


def measure(served: Served, path: str, seconds: int, connections: int) -> None:
    """Print what a load of so many connections gets in so many seconds."""
    if shutil.which("wrk"):
        header = f"Authorization: {served.headers['Authorization']}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", header, served.url + path]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return
    done, late = asyncio.run(_load(served, path, seconds, connections))
    late.sort()
    print(
        f"{done / seconds:.0f} requests/s, p50 {late[len(late) // 2] * 1000:.1f} ms,"
        f" p99 {late[len(late) * 99 // 100] * 1000:.1f} ms\n"
    )


async def _load(served: Served, path: str, seconds: int, connections: int) -> tuple[int, list[float]]:
    where = urlsplit(served.url)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: {served.headers['Authorization']}\r\n\r\n"
    ).encode()
    end = time.perf_counter() + seconds
    took: list[float] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        while time.perf_counter() < end:
            begun = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode("latin-1"))
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            took.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return len(took), took


if __name__ == "__main__":
    main()
