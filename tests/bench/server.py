"""A server process of its own for benchmarks: `flowrunner serve` on SQLite, one account, one token."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

PASSWORD = "benchmarks run on loopback"


@dataclass(frozen=True, slots=True)
class Served:
    """Where it is, and how to talk to it."""

    url: str
    headers: dict[str, str]
    process: int

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The parsed answer. Raises for an error's status."""
        headers = {**self.headers, **options.pop("headers", {})}
        answer = httpx2.request(method, self.url + path, headers=headers, timeout=60, **options)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def server(folder: Path, store: str = "") -> Iterator[Served]:
    """`flowrunner serve` without limits on requests, until the end of the block; on `store` or a file in `folder`."""
    environment = {
        **os.environ,
        "FLOWRUNNER_STORE__URL": store or f"sqlite:///{folder}/bench.db",
        "FLOWRUNNER_VAULT__KEY_FILE": f"{folder}/keys.json",
        "FLOWRUNNER_API__REQUESTS_PER_ACCOUNT": "0",
        "FLOWRUNNER_API__REQUESTS_PER_ADDRESS": "0",
        "FLOWRUNNER_LIVE__READERS": "2000",
        "FLOWRUNNER_LIVE__READERS_PER_ACCOUNT": "2000",
        "FLOWRUNNER_QUOTAS__RUNS_PER_MINUTE": "0",
        "FLOWRUNNER_QUOTAS__CONCURRENT_RUNS": "0",
        "FLOWRUNNER_LOG__LEVEL": "warning",
    }
    command = [sys.executable, "-m", "flowrunner"]
    subprocess.run(
        [*command, "admin", "create-account", "Bench", "--owner", "bench"],
        input=PASSWORD + "\n", text=True, env=environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    process = subprocess.Popen([*command, "serve", "--port", "0"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            if not line:
                raise RuntimeError("the server did not start")
            found = re.search(r"http://\S+:\d+", line)
        url = found[0]
        wish = {"name": "bench", "scopes": ["flows:read", "flows:write", "runs:read", "runs:write", "account:read"]}
        made = httpx2.post(f"{url}/v1/tokens", json=wish, auth=("bench", PASSWORD), timeout=30)
        made.raise_for_status()
        yield Served(url, {"Authorization": f"Bearer {made.json()['token']}"}, process.pid)
    finally:
        process.terminate()
        process.wait(30)
