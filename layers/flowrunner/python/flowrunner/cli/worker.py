"""`flowrunner worker`: serve a store's queue, with one process or several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flowrunner.bootstrap import make_backend, make_platform, worker_settings
from flowrunner.cli.engines import report, settings_for
from flowrunner.cli.exits import ExitCode, UsageError
from flowrunner.settings import Loaded, masked
from flowrunner.telemetry.exposing import expose_metrics
from flowrunner.telemetry.logs import configure_logging

RESTART_SECONDS = 1.0
"""Before a worker process that died is replaced, so that one that cannot start does not spin."""

MOST_PROCESSES = 256
"""Of one command (`worker.processes`): so many ports for metrics are tried."""


def run_workers(
    store: str | None,
    processes: int | None,
    allow: list[str] | None,
    secrets_file: Path | None,
    config_file: Path | None,
) -> ExitCode:
    """Serve until SIGTERM or Ctrl-C."""
    loaded = settings_for(config_file, store=store, allow=allow, secrets_file=secrets_file, processes=processes)
    if loaded.settings.store.url == "memory:":
        raise UsageError("a worker on memory: would have nothing to do; name a store that others use, too")
    if loaded.settings.worker.processes > 1:
        return _supervise(loaded)
    return _serve(loaded)


def _serve(loaded: Loaded) -> ExitCode:
    """One worker, with the background work of a server: whichever process is there does it."""
    settings = loaded.settings
    configure_logging(settings.log)
    platform = make_platform(settings, os.environ)
    with ExitStack() as stack:
        stack.callback(platform.close)
        worker = platform.engine.worker(worker_settings(settings), on_error=report)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: worker.stop())
        if platform.telemetry.metrics is not None:
            section = settings.metrics
            port, close = expose_metrics(platform.telemetry.metrics, section.host, section.port, MOST_PROCESSES)
            stack.callback(close)
            print(f"metrics are on {section.host}:{port}", file=sys.stderr)
        platform.background.start()
        print(f"{worker.name} serves {masked(settings.store.url)}; stop it with Ctrl-C", file=sys.stderr)
        worker.run(settings.worker.grace)
    return ExitCode.OK


def _supervise(loaded: Loaded) -> ExitCode:
    """Keep several worker processes running; each is this command again, for one process."""
    # Opened once here, so that a store that cannot be served is refused before any process is made.
    make_backend(loaded.settings).close()
    count = loaded.settings.worker.processes
    command = [sys.executable, "-m", "flowrunner", "worker", "--processes", "1", *_flags(loaded)]
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    children = [subprocess.Popen(command, env=os.environ) for _ in range(count)]
    while not stop.wait(RESTART_SECONDS):
        for index, child in enumerate(children):
            if child.poll() is not None:
                print(f"a worker process ended with {child.returncode}; another takes its place", file=sys.stderr)
                children[index] = subprocess.Popen(command, env=os.environ)
    for child in children:
        child.terminate()
    for child in children:
        child.wait()
    return ExitCode.OK


def _flags(loaded: Loaded) -> list[str]:
    settings = loaded.settings
    flags: list[Any] = ["--store", settings.store.url]
    for entry in settings.egress.allow:
        flags += ["--allow", entry]
    if settings.secrets.file:
        flags += ["--secrets-file", settings.secrets.file]
    return [str(flag) for flag in flags]
