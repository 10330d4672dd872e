"""Engines for commands: settings from all sources, a worker in a thread, everything closed at the end."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flowrunner.bootstrap import make_engine, make_platform, worker_settings
from flowrunner.engine.engine import Engine
from flowrunner.engine.worker import Worker
from flowrunner.settings import Loaded, load_settings


def settings_for(
    config_file: Path | None = None,
    *,
    store: str | None = None,
    allow: Sequence[str] | None = None,
    secrets_file: Path | None = None,
    processes: int | None = None,
    host: str | None = None,
    port: int | None = None,
) -> Loaded:
    """The settings with a command's flags over them."""
    flags = {
        "store.url": store,
        "egress.allow": list(allow) if allow else None,
        "secrets.file": str(secrets_file) if secrets_file else None,
        "worker.processes": processes,
        "api.host": host,
        "api.port": port,
    }
    return load_settings(os.environ, flags, config_file)


@contextmanager
def engine_for(loaded: Loaded) -> Iterator[Engine]:
    """An engine without a worker. On a store that others share, the services of a server see what it does."""
    if loaded.settings.store.url == "memory:":
        engine = make_engine(loaded.settings, os.environ)
        try:
            yield engine
        finally:
            engine.close()
        return
    platform = make_platform(loaded.settings, os.environ)
    try:
        yield platform.engine
    finally:
        platform.close()


@contextmanager
def working_engine(loaded: Loaded) -> Iterator[tuple[Engine, Worker]]:
    """An engine with a worker in a thread of this process."""
    with engine_for(loaded) as engine:
        worker = engine.worker(worker_settings(loaded.settings), on_error=report)
        thread = threading.Thread(target=worker.run, args=(loaded.settings.worker.grace,), name="worker", daemon=True)
        thread.start()
        engine.attach(worker)
        try:
            yield engine, worker
        finally:
            engine.attach(None)
            worker.stop()
            thread.join(loaded.settings.worker.grace / 1000 + 1)


def report(error: BaseException) -> None:
    """Say what went wrong in a worker, which goes on."""
    print(f"worker: {error}", file=sys.stderr)
