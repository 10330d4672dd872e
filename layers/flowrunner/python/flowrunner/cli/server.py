"""A server in this process: HTTP in one thread, a worker in another, and what nobody asks for in the background."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowrunner.bootstrap import make_platform, worker_settings
from flowrunner.cli.engines import report
from flowrunner.errors import ConfigurationError
from flowrunner.services.platform import Platform
from flowrunner.settings import ApiSettings, Loaded

CLOSE_SECONDS = 5
"""After this time a stopping server cuts off requests that have not ended, such as event streams."""

BACKLOG = 2048


class HttpServer:
    """uvicorn in a thread, on a socket that is bound before anything starts."""

    def __init__(self, app: Any, settings: ApiSettings) -> None:
        """Raises `ConfigurationError` when the address cannot be had."""
        import uvicorn

        from flowrunner.cli.http_limits import LimitedProtocol

        self._socket = _bound(settings)
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        proxies = settings.trusted_proxies
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies) or None,
            timeout_graceful_shutdown=CLOSE_SECONDS,
            http=LimitedProtocol,
            ws_max_size=64 * 1024,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._failed: BaseException | None = None

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, let those under way end, then close."""
        self._server.should_exit = True
        self._thread.join(CLOSE_SECONDS + 5)
        self._socket.close()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


@contextmanager
def serving(loaded: Loaded, *, with_worker: bool = True) -> Iterator[tuple[Platform, HttpServer]]:
    """Everything of a server, begun; ended in the order that loses nothing.

    First no request comes in any more, then the worker's steps end or are given back, then the background work stores
    what it holds.
    """
    from flowrunner.api.app import create_app
    from flowrunner.api.console import console_folder
    from flowrunner.api.docs import docs_folder

    settings = loaded.settings
    platform = make_platform(settings, os.environ)
    try:
        server = HttpServer(create_app(platform, console_folder(), docs_folder()), settings.api)
    except BaseException:
        platform.close()
        raise
    worker = platform.engine.worker(worker_settings(settings), on_error=report)
    thread = threading.Thread(target=worker.run, args=(settings.worker.grace,), name="worker", daemon=True)
    if with_worker:
        thread.start()
        platform.health.expect("worker", thread.is_alive)
        platform.engine.attach(worker)
    platform.background.start()
    server.start()
    try:
        yield platform, server
    finally:
        platform.health.stopping()
        platform.live.stop()
        server.stop()
        platform.engine.attach(None)
        if with_worker:
            worker.stop()
            thread.join(settings.worker.grace / 1000 + 1)
        platform.close()


def _bound(settings: ApiSettings) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, proto)
    except OSError as error:
        raise ConfigurationError(f"api.host {settings.host!r} is no address of this machine: {error}") from None
    try:
        if sys.platform != "win32":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise ConfigurationError(
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}",
            hint="choose another --port" if error.errno == errno.EADDRINUSE else "see --host and --port",
        ) from None
    return made
