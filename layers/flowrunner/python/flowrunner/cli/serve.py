"""`flowrunner serve`: the API, a worker and the background work on a store, for production."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from flowrunner.cli.engines import settings_for
from flowrunner.cli.exits import ExitCode, UsageError
from flowrunner.cli.server import serving
from flowrunner.settings import masked
from flowrunner.telemetry.logs import configure_logging


def run_serve(
    store: str | None,
    host: str | None,
    port: int | None,
    allow: list[str] | None,
    config_file: Path | None,
    *,
    with_worker: bool,
) -> ExitCode:
    """Serve until SIGTERM or Ctrl-C, then end without harm to any run."""
    loaded = settings_for(config_file, store=store, allow=allow, host=host, port=port)
    if loaded.settings.store.url == "memory:" and not with_worker:
        raise UsageError("a server on memory: without a worker would never run anything")
    configure_logging(loaded.settings.log)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with serving(loaded, with_worker=with_worker) as (_, server):
        what = "API and worker" if with_worker else "API"
        print(f"{what} on {server.url}, store {masked(loaded.settings.store.url)}; stop with Ctrl-C", file=sys.stderr)
        while server.alive and not stop.wait(0.5):
            pass
        failed = not server.alive and not stop.is_set()
    return ExitCode.SERVER if failed else ExitCode.OK
