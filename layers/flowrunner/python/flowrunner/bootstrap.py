"""The composition root: the only file that names concrete adapters. Called on first use, nothing is wired at import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from flowrunner.adapters.egress import Guard
from flowrunner.adapters.local.clock import SystemClock, SystemDraws
from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.engine.engine import Engine, Parts
from flowrunner.engine.values import ValueLimits
from flowrunner.engine.worker import WorkerSettings
from flowrunner.errors import ConfigurationError, FlowrunnerError
from flowrunner.nodes.registry import Registry
from flowrunner.ports.backend import Backend
from flowrunner.ports.http import HttpClient, HttpRequest, HttpResponse
from flowrunner.sandbox.evaluator import Limits, Sandbox
from flowrunner.settings import Settings

if TYPE_CHECKING:
    from flowrunner.services.platform import Platform

LOCAL_ACCOUNT = "local"
"""The account of everything that runs without a server."""


def make_engine(settings: Settings, environ: Mapping[str, str], backend: Backend | None = None) -> Engine:
    """An engine as the settings want it. Raises `ConfigurationError`."""
    limits = settings.sandbox
    return Engine(
        Parts(
            backend=backend or make_backend(settings),
            registry=Registry(),
            sandbox=Sandbox(
                Limits(cpu=limits.cpu, wall=limits.wall, memory=limits.memory, output=limits.output), limits.processes
            ),
            secrets=LocalSecrets(environ, Path(settings.secrets.file) if settings.secrets.file else None),
            http=LazyHttp(settings.egress.allow),
            clock=SystemClock(),
            draws=SystemDraws(),
            limits=ValueLimits(settings.values.inline, settings.values.largest),
            public_url=settings.public_url,
        )
    )


def make_platform(settings: Settings, environ: Mapping[str, str]) -> Platform:
    """The services of a server as the settings want them. Raises `ConfigurationError`."""
    from flowrunner.services.platform import assemble

    return assemble(make_engine(settings, environ), settings)


def make_backend(settings: Settings) -> Backend:
    """The store that `store.url` names, with its schema brought up to date. Raises `ConfigurationError`."""
    scheme, _, rest = settings.store.url.partition(":")
    made: Backend
    match scheme:
        case "memory":
            from flowrunner.adapters.memory.backend import MemoryBackend

            made = MemoryBackend()
        case "sqlite":
            from flowrunner.adapters.sqlite.backend import SqliteBackend

            made = SqliteBackend(Path(rest.removeprefix("///")).expanduser(), settings.store.synchronous)
        case "postgresql" | "postgres":
            from flowrunner.adapters.postgres.backend import PostgresBackend

            made = PostgresBackend(settings.store.url, settings.store.pool_size)
        case _:
            raise ConfigurationError(f"store.url: there is no store {scheme!r}")
    if settings.worker.processes > 1 and not made.capabilities.shared:
        made.close()
        raise ConfigurationError(
            f"worker.processes is {settings.worker.processes}, but {made.name} serves one process",
            hint="use PostgreSQL for several",
        )
    try:
        made.migrate()
    except FlowrunnerError:
        made.close()
        raise
    return made


def worker_settings(settings: Settings) -> WorkerSettings:
    """The part of the settings that a worker takes."""
    section = settings.worker
    return WorkerSettings(
        threads=section.threads, in_flight=section.in_flight, lease=section.lease, step_timeout=section.step_timeout
    )


class LazyHttp:
    """The guarded client, imported and made when a flow sends its first request: most commands never do.

    The guard is made at once, so that a wrong `egress.allow` stops the start. Raises `ConfigurationError`.
    """

    def __init__(self, openings: Sequence[str]) -> None:
        self._guard = Guard(openings)
        self._client: HttpClient | None = None
        self._lock = Lock()

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `ports.http.HttpClient`."""
        return self._made().send(request)

    def _made(self) -> HttpClient:
        with self._lock:
            if self._client is None:
                from flowrunner.adapters.http import GuardedClient

                self._client = GuardedClient(self._guard)
            return self._client

    def close(self) -> None:
        """Close the client if there is one."""
        if self._client is not None:
            self._client.close()
