"""The composition root: the only file that names concrete adapters. Called on first use, nothing is wired at import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from flowrunner.adapters.egress import Guard
from flowrunner.adapters.local.clock import SystemClock, SystemDraws
from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.core.ids import AccountId, Millis
from flowrunner.engine.engine import Engine, Parts
from flowrunner.engine.values import ValueLimits
from flowrunner.errors import ConfigurationError, FlowrunnerError
from flowrunner.nodes.registry import Registry
from flowrunner.ports.backend import Backend
from flowrunner.ports.cipher import KeyInfo, KeyRing
from flowrunner.ports.clock import Clock
from flowrunner.ports.dialer import Connection, Dialer
from flowrunner.ports.http import HttpClient, HttpRequest, HttpResponse, HttpStream
from flowrunner.ports.push import Push
from flowrunner.sandbox.evaluator import Limits, Sandbox
from flowrunner.services.secret_box import KIND as SEALED_KIND
from flowrunner.services.vault_parts import vault_parts
from flowrunner.settings import Settings

if TYPE_CHECKING:
    from flowrunner.engine.worker import WorkerSettings
    from flowrunner.ports.installer import Happening, Installer
    from flowrunner.services.platform import Platform

LOCAL_ACCOUNT = "local"
"""The account of everything that runs without a server."""

ON_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME"
"""The variable by which a process knows that it is a function."""


def make_engine(settings: Settings, environ: Mapping[str, str], backend: Backend | None = None) -> Engine:
    """An engine as the settings want it. Raises `ConfigurationError`."""
    limits = settings.sandbox
    sandbox = Sandbox(
        Limits(cpu=limits.cpu, wall=limits.wall, memory=limits.memory, output=limits.output), limits.processes
    )
    registry = make_registry(settings)
    sandbox.helpers = lambda account: registry.helper_sources()
    clock, store = SystemClock(), backend or make_backend(settings, deployed=ON_LAMBDA in environ)
    local = LocalSecrets(environ, Path(settings.secrets.file) if settings.secrets.file else None)
    try:
        vault = vault_parts(store.entities, make_keys(settings, store, clock), clock, local, AccountId(LOCAL_ACCOUNT))
    except ConfigurationError:
        store.close()
        raise
    return Engine(
        Parts(
            backend=store,
            registry=registry,
            sandbox=sandbox,
            secrets=vault.secrets,
            http=LazyHttp(settings.egress.allow),
            clock=clock,
            draws=SystemDraws(),
            limits=ValueLimits(settings.values.inline, settings.values.largest),
            public_url=settings.public_url,
            keys=vault.keys,
            sealer=vault.sealer,
            on_secret_read=vault.on_secret_read,
            dialer=LazyDialer(settings.egress.allow),
            programs_allowed=settings.egress.programs,
        )
    )


def make_registry(settings: Settings) -> Registry:
    """The node types, with those of plugins."""
    return Registry(folder=Path(settings.plugins.folder).expanduser() if settings.plugins.folder else None)


def make_platform(settings: Settings, environ: Mapping[str, str]) -> Platform:
    """The services of a server as the settings want them. Raises `ConfigurationError`."""
    from flowrunner.services.platform import assemble

    engine = make_engine(settings, environ)
    try:
        assert engine.parts.keys is not None, "made with the engine"
        if not settings.vault.kms_key:
            engine.parts.keys.primary()  # now, so that a key file that cannot be used stops the start
        return assemble(engine, settings, Guard(settings.egress.allow).check, make_push(settings))
    except FlowrunnerError:
        engine.close()
        raise


def make_push(settings: Settings) -> Push | None:
    """What reaches the WebSocket connections of a gateway, if there is one."""
    if settings.live.socket_url is None:
        return None
    from flowrunner.adapters.aws.clients import Clients
    from flowrunner.adapters.aws.push import ApiGatewayPush

    return ApiGatewayPush(partial(Clients().gateway, settings.live.socket_url))


def make_executor(settings: Settings, environ: Mapping[str, str]) -> Engine:
    """An engine that executes steps, with no more of the services than steps need. Raises `ConfigurationError`."""
    from flowrunner.services.executing import guard_steps

    engine = make_engine(settings, environ)
    guard_steps(engine, settings.quotas, settings.webhooks)
    return engine


def make_keys(settings: Settings, backend: Backend, clock: Clock) -> KeyRing:
    """The keys of the vault: of KMS, of a file, or of this process for a store that does not outlive it.

    The file is made when something is first encrypted, or by a server when it starts. Raises `ConfigurationError` when
    something is encrypted already and the file is missing or cannot be used.
    """
    if not backend.capabilities.durable:
        return LazyKeys(_memory_keys)
    if settings.vault.kms_key:
        return LazyKeys(lambda: _kms_keys(settings.vault.kms_key, backend, clock))
    from flowrunner.adapters.local.keyring import LocalKeyRing

    path = Path(settings.vault.key_file).expanduser()

    def in_use() -> bool:
        return backend.entities.next_due(SEALED_KIND) is not None

    keys = LazyKeys(lambda: LocalKeyRing.open(path, clock.now(), in_use=in_use()))
    if in_use():
        keys.primary()
    return keys


def _memory_keys() -> KeyRing:
    from flowrunner.adapters.memory.cipher import MemoryKeyRing

    return MemoryKeyRing()


def _kms_keys(key: str, backend: Backend, clock: Clock) -> KeyRing:
    from flowrunner.adapters.aws.clients import Clients
    from flowrunner.adapters.aws.kms import KmsKeyRing

    return KmsKeyRing(Clients.for_key(key).kms(), key, backend.documents, clock, SystemDraws())


def make_backend(settings: Settings, *, deployed: bool = False) -> Backend:
    """The store that `store.url` names, with its schema brought up to date. Raises `ConfigurationError`.

    With `deployed` the schema of a store on AWS is what the deployment has made: nothing is asked before the first use.
    """
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
        case "dynamodb":
            from flowrunner.adapters.aws.backend import DynamoBackend

            made = DynamoBackend.open(settings.store.url, SystemClock(), SystemDraws())
        case _:
            raise ConfigurationError(f"store.url: there is no store {scheme!r}")
    if settings.worker.processes > 1 and not made.capabilities.shared:
        made.close()
        raise ConfigurationError(
            f"worker.processes is {settings.worker.processes}, but {made.name} serves one process",
            hint="use PostgreSQL for several",
        )
    if deployed and scheme == "dynamodb":
        return made
    try:
        made.migrate()
    except FlowrunnerError:
        made.close()
        raise
    return made


def make_installer(
    region: str | None,
    profile: str | None,
    role: str,
    tell: Callable[[Happening], None],
    say: Callable[[str], None],
    wait: Callable[[float], object] | None = None,
) -> Installer:
    """What deploys to AWS, with the operator's credentials; see its arguments. Raises `ConfigurationError`."""
    from flowrunner.adapters.aws.cloud import Cloud
    from flowrunner.adapters.aws.installer import AwsInstaller

    return AwsInstaller(Cloud(region, profile), SystemDraws(), tell, say, role=role, wait=wait)


def worker_settings(settings: Settings) -> WorkerSettings:
    """The part of the settings that a worker takes."""
    from flowrunner.engine.worker import WorkerSettings

    section = settings.worker
    return WorkerSettings(
        threads=section.threads, in_flight=section.in_flight, lease=section.lease, step_timeout=section.step_timeout
    )


class LazyKeys:
    """Keys that are made or read when they are first needed. See `ports.cipher.KeyRing`."""

    def __init__(self, make: Callable[[], KeyRing]) -> None:
        self._make = make
        self._made: KeyRing | None = None
        self._lock = Lock()

    def _ring(self) -> KeyRing:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    @property
    def key_id(self) -> str:
        return self._ring().key_id

    def encrypt(self, plain: bytes, context: Mapping[str, str]) -> bytes:
        return self._ring().encrypt(plain, context)

    def decrypt(self, sealed: bytes, context: Mapping[str, str]) -> bytes:
        return self._ring().decrypt(sealed, context)

    def primary(self) -> KeyInfo:
        return self._ring().primary()

    def known(self) -> Sequence[KeyInfo]:
        return self._ring().known()

    def add(self, now: Millis, min_age: Millis) -> KeyInfo:
        return self._ring().add(now, min_age)

    def remove(self, key: str) -> bool:
        return self._ring().remove(key)


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

    def stream(self, request: HttpRequest) -> AbstractContextManager[HttpStream]:
        """See `ports.http.HttpClient`."""
        return self._made().stream(request)

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


class LazyDialer:
    """The guarded dialer, imported and made when a flow opens its first connection that is not HTTP.

    The guard is made at once, as by `LazyHttp`. Raises `ConfigurationError`.
    """

    def __init__(self, openings: Sequence[str]) -> None:
        self._guard = Guard(openings)
        self._dialer: Dialer | None = None
        self._lock = Lock()

    def addresses(self, host: str, port: int, allow: Sequence[Sequence[str]] = ()) -> Sequence[str]:
        """See `ports.dialer.Dialer`."""
        return self._made().addresses(host, port, allow)

    def connect(
        self, host: str, port: int, seconds: float, allow: Sequence[Sequence[str]] = (), max_bytes: int = 1 << 25
    ) -> Connection:
        """See `ports.dialer.Dialer`."""
        return self._made().connect(host, port, seconds, allow, max_bytes)

    def _made(self) -> Dialer:
        with self._lock:
            if self._dialer is None:
                from flowrunner.adapters.dialer import GuardedDialer

                self._dialer = GuardedDialer(self._guard)
            return self._dialer
