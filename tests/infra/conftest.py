"""The deployments that the tests look at, synthesized once for all test processes."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.infra.assembly import Assembly

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/3f2b-11"

CONTEXTS: dict[str, dict[str, Any]] = {
    "dev": {},
    "prod": {"preset": "prod", "stage": "live", "alarm_email": "operators@example.com"},
    # Everything that can be asked for at once.
    "full": {
        "preset": "prod",
        "architecture": "x86_64",
        "python": "3.12",
        "slow_queue": "false",
        "paused": "true",
        "tracing": "true",
        "extras": "wasm,mcp",
        "vpc_id": "vpc-12345678",
        "vpc_subnets": "subnet-12345678,subnet-12345679",
        "vpc_security_groups": "sg-12345678",
        "domain": "flows.example.com",
        "socket_domain": "live.example.com",
        "certificate_arn": CERTIFICATE,
        "console_domain": "console.example.com",
        "console_certificate_arn": CERTIFICATE,
        "web_acl_arn": "arn:aws:wafv2:us-east-1:123456789012:global/webacl/console/11-22",
        "cors_origins": "https://pages.example.com",
        "environment": {"FLOWRUNNER_QUOTAS__FLOWS": "5"},
        "retention": "30d",
        "egress_allow": "db.example.com,10.0.0.0/8",
    },
    "console": {"stage": "console"},
    "restored": {
        "restored_table": "runs-of-yesterday",
        "restored_stream_arn": "arn:aws:dynamodb:eu-west-1:123456789012:table/runs-of-yesterday/stream/2026-11-21T12:00:00.000",
    },
}


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Assembly]:
    """The deployments of `CONTEXTS`, by name. The layers are empty folders: nothing here looks into them."""
    if shutil.which("node") is None:
        pytest.skip("no Node: the CDK needs it (apt install nodejs)")
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "infra"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "done").exists():
            _synthesize(shared)
            (shared / "done").touch()
    return {name: Assembly(shared / name) for name in CONTEXTS}


@pytest.fixture
def dev(assemblies: dict[str, Assembly]) -> Assembly:
    """The cheap preset."""
    return assemblies["dev"]


@pytest.fixture
def prod(assemblies: dict[str, Assembly]) -> Assembly:
    """The careful preset."""
    return assemblies["prod"]


@pytest.fixture
def full(assemblies: dict[str, Assembly]) -> Assembly:
    """Everything that can be asked for, but the slow queue."""
    return assemblies["full"]


@pytest.fixture
def console(assemblies: dict[str, Assembly]) -> Assembly:
    """The cheap preset with a console under CloudFront's own name."""
    return assemblies["console"]


@pytest.fixture
def restored(assemblies: dict[str, Assembly]) -> Assembly:
    """The cheap preset on a table that was restored from a backup."""
    return assemblies["restored"]


def empty_build(folder: Path) -> dict[str, str]:
    """A context with layers and a console in which there is next to nothing."""
    for name in ("flowrunner", "core", "api", "ai", "extra-mcp-wasm"):
        (folder / "layers" / name / "python").mkdir(parents=True, exist_ok=True)
        (folder / "layers" / name / "python" / "empty.txt").write_text(name)
    (folder / "web").mkdir(exist_ok=True)
    (folder / "web" / "index.html").write_text("<!doctype html>")
    return {"layers": str(folder / "layers"), "console": str(folder / "web")}


def _synthesize(folder: Path) -> None:
    build = empty_build(folder)
    layers = {"layers": build["layers"]}
    contexts = {name: context | layers for name, context in CONTEXTS.items()}
    for name in ("full", "console"):
        contexts[name] |= build
    (folder / "plugins/python").mkdir(parents=True)
    contexts["full"]["plugins"] = str(folder / "plugins")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("synthesize.py")), str(folder)],
        input=json.dumps(contexts),
        text=True,
        capture_output=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    # Findings of cdk-nag and of the CDK's own checks end it.
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
