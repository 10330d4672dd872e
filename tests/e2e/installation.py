"""The stacks on the emulator: `flowrunner deploy` as an operator runs it, and where the service is then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from tests.e2e.emulator import CREDENTIALS, REGION, Emulator
from tests.e2e.pythons import ROOT, architecture

STAGE = "e2e"
DEPLOY = 600.0
"""Seconds; half a minute of them are the layers and the synthesis, the first time."""


@dataclass(frozen=True)
class Installation:
    """What the stacks say, and the same as seen from here."""

    emulator: str
    outputs: Mapping[str, str]

    @property
    def api(self) -> str:
        """The HTTP API, by the emulator's path for it."""
        return f"{self.emulator}/_aws/execute-api/{self.outputs['HTTP']}/$default"

    @property
    def socket(self) -> str:
        """The WebSocket API."""
        host = self.emulator.replace("http://", "ws://")
        return f"{host}/_aws/execute-api/{self.outputs['WEBSOCKET']}{urlsplit(self.outputs['WebSocketUrl']).path}"

    @contextmanager
    def peek(self) -> Iterator[dict[str, Any]]:
        """All messages of all queues, as they lie there."""
        with urllib.request.urlopen(f"{self.emulator}/_ministack/sqs/messages", timeout=120) as answer:
            yield json.load(answer)

    def save(self, file: Path) -> None:
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"emulator": self.emulator, "outputs": dict(self.outputs)}))
        new.rename(file)

    @classmethod
    def load(cls, file: Path) -> Installation:
        return cls(**json.loads(file.read_text()))


def _apis(emulator: str) -> dict[str, str]:
    """The ids of the APIs by their protocol; a URL of one's own in the outputs does not tell."""
    gateway = boto3.client(
        "apigatewayv2",
        endpoint_url=emulator,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    try:
        return {str(api["ProtocolType"]): str(api["ApiId"]) for api in gateway.get_apis()["Items"]}
    finally:
        gateway.close()


def deploy(
    emulator: Emulator, say: Any = None, stage: str = STAGE, settings: Mapping[str, str] | None = None
) -> Installation:
    """Build, synthesize and deploy; what it prints goes to `say` (a file), and to the error if it fails."""
    context = {
        "python": emulator.version,
        "architecture": architecture(),
        "signup": "open",
        "console": "",  # CloudFront cannot be reached here, and the stacks would be deployed twice for it
        "max_concurrency": "4",  # each is a process that unpacks its layers: more at once than CPUs is slower
        "slow_max_concurrency": "2",
        **(settings or {}),
    }
    command = [sys.executable, "-m", "flowrunner", "deploy", "--stage", stage, "--preset", "dev", "--region", REGION]
    command += ["--yes", "--json", "--bootstrap", "--no-account"]
    for name, value in context.items():
        command += ["-c", f"{name}={value}"]
    # Without what the tests have set for themselves: a setting in the environment would reach the command.
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FLOWRUNNER_"))}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**ours, **CREDENTIALS, "AWS_ENDPOINT_URL": emulator.url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=say or subprocess.PIPE,
        text=True,
        timeout=DEPLOY,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"flowrunner deploy ended with {done.returncode}:\n{done.stderr or ''}{done.stdout}")
    outputs = json.loads(done.stdout)["outputs"]
    merged = {name: str(value) for stack in outputs.values() for name, value in stack.items()}
    return Installation(emulator.url, {**merged, **_apis(emulator.url)})
