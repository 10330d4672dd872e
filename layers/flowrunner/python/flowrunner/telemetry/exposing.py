"""The metrics of a process that serves no HTTP otherwise: a worker."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from flowrunner.errors import ConfigurationError
from flowrunner.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer


def expose_metrics(metrics: Metrics, host: str, port: int, processes: int = 1) -> tuple[int, Callable[[], None]]:
    """Serve `metrics` over HTTP on the first free port from `port` on: one for each of so many processes.

    Answers the port, and what ends it. Raises `ConfigurationError` when none of them can be had.
    """
    from prometheus_client import start_http_server

    for number in range(port, min(port + processes, 65_536)):
        try:
            server, thread = start_http_server(number, host, registry=metrics.registry)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            raise ConfigurationError(
                f"metrics cannot be served on {host}:{number}: {error.strerror or error}", hint="see metrics.host"
            ) from None
        return server.server_port, partial(_close, server, thread)
    raise ConfigurationError(f"metrics cannot be served: port {port} is taken", hint="choose another metrics.port")


def _close(server: WSGIServer, thread: Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()
