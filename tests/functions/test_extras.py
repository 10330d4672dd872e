"""The extras of a deployment: what is in their layer is enough for the node types that need them, and no more is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functions.runtime import ARCH, ROOT, Unavailable, build_layers, runtime

LAYER = "extra-mcp-postgres-wasm"
LARGEST = 60_000_000
"""Bytes of all extras together, unzipped; with `executor-slow` itself that is far below Lambda's 250 MB."""

PROGRAM = """
import json, sys
sys.path[:0] = {paths!r}
from flowrunner.nodes.registry import Registry
from flowrunner.nodes.wasm import WasmNode
from flowrunner.nodes.wasm_process import Limits, ask
import base64, yaml
module = base64.b64decode("".join(yaml.safe_load(WasmNode.example)["params"]["inline"].split()))
limits = Limits.of(120, lambda: False)
code = ask("compile", {{"module": module}}, limits, 1 << 26).out
job = {{"module": code, "stdin": b"[1]", "args": ["m"], "fuel": 10**9, "memory": 1 << 20, "now": 0}}
out = ask("run", {{**job, "most_out": 99, "most_err": 99}}, limits, 999).out
import flowrunner.nodes.postgres_session, flowrunner.nodes.mcp_client
print(json.dumps([out.decode(), flowrunner.nodes.postgres_session.psycopg.pq.__impl__]))
"""


@pytest.fixture(scope="module")
def paths() -> list[Path]:
    """What `executor-slow` imports from, with all extras."""
    try:
        real = runtime()
        assert ARCH is not None, "runtime() has looked"
        build_layers(real.version, ARCH, "--extras=mcp,postgres,wasm")
    except Unavailable as reason:
        pytest.skip(f"Lambda's runtime cannot be had: {reason}")
    return [*real.paths("executor-slow"), real.layers / LAYER / "python", Path(real.python)]


def test_the_executor_has_what_the_node_types_need(paths: list[Path]) -> None:
    """A module is compiled and executed, the driver and the clients of MCP servers are imported: from layers alone."""
    *folders, python = paths
    done = subprocess.run(
        [str(python), "-S", "-E", "-W", "ignore", "-c", PROGRAM.format(paths=[*map(str, folders)])],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == ["[1]", "binary"]


def test_extras_have_a_size(paths: list[Path]) -> None:
    """So that adding one is a decision."""
    layer = paths[-2].parent
    assert sum(path.stat().st_size for path in layer.rglob("*") if path.is_file()) < LARGEST


def test_an_extra_that_there_is_not_is_refused() -> None:
    """With those that there are."""
    command = [sys.executable, str(ROOT / "scripts/build_layers.py"), "--extras", "wasm,redis"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "redis: there are mcp, postgres, wasm" in done.stderr
