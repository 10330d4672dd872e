"""MiniStack in a process of its own: started on a free port of loopback, stopped by its pid, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Self

from tests.e2e.pythons import environment, find_python
from tests.ports import free_port

REGION = "us-east-1"
ACCOUNT = "000000000000"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""What the emulator sees of our environment: the functions that it starts see it, too."""

START = 180.0
STOP = 3.0
"""Seconds. It takes half of one to start, more on a machine that is busy."""


@dataclass
class Emulator:
    """`with Emulator(folder) as emulator:` keeps its log and the functions' files below `folder`."""

    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.python, self.version = find_python()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "emulator.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it answers."""
        installed = environment(self.python, self.version)
        self.files = Path(tempfile.mkdtemp(prefix="flowrunner-emulator-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [installed / "bin" / "python", Path(__file__).with_name("emulator_main.py")],
                env=self._environment(),
                cwd=self.files,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the functions are in its group, so that one signal ends all of them
            )
        deadline = time.monotonic() + START
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = self.log.read_text(errors="replace")[-2_000:]
                self.stop()
                raise RuntimeError(f"the emulator did not start:\n{said}")
            threading.Event().wait(0.05)

    def _environment(self) -> dict[str, str]:
        """Without AWS_ENDPOINT_URL, with which it would talk to itself through the functions' settings."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return {
            **kept,
            **CREDENTIALS,
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",  # its default is every interface
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "AUTH": "true",  # the functions' roles are enforced
            "LAMBDA_EXECUTOR": "local",
            "LAMBDA_WARM_TTL_SECONDS": "3600",
            "TMPDIR": str(self.files),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=5) as answer:
                return int(answer.status) == 200
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        """End it and its functions; it may be stuck, so it is killed if it does not end at once."""
        if self.process is not None:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self.process.pid, sign)
                    self.process.wait(STOP)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
            self.process = None
        rmtree(getattr(self, "files", self.folder / "none"), ignore_errors=True)
