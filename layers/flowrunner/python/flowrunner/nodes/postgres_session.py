"""A connection to PostgreSQL for one execution. Import it when it is needed: it imports psycopg.

libpq resolves nothing and reads nothing of its surroundings: it connects to an address that the egress guard has
checked, and every option that it would take from the environment or a file is given. What it waits for, it waits for
here, where time, bytes and cancellation are watched.
"""

from __future__ import annotations

import select
import socket
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import certifi
import psycopg
from psycopg import generators
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo
from psycopg.waiting import Ready, Wait

from flowrunner.errors import NodeTimeout, ParamsInvalid, StepError, ValueTooLarge
from flowrunner.nodes.postgres_server import PostgresServer
from flowrunner.nodes.postgres_values import adapters
from flowrunner.ports.dialer import Dialer

MAX_RECEIVED = 32 * 1024 * 1024
"""Bytes that a server may send in one execution."""

MAX_WORDS = 1_000
"""Characters of each text of an error, which a server may make as long as it likes."""

_LOOK = 0.2
"""Seconds after which a wait looks whether the run was cancelled."""
_BYTES_RECEIVED = slice(128, 136)
"""Of `struct tcp_info` (Linux, include/uapi/linux/tcp.h): tcpi_bytes_received."""

_RETRYABLE = ("08000", "08001", "08003", "08006", "40", "53", "55P03", "57P01", "57P02", "57P03")
"""Beginnings of SQLSTATEs after which the same may succeed (PostgreSQL documentation, appendix A)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop waiting."""

    seconds: float
    cancelled: Callable[[], bool]
    deadline: float

    @classmethod
    def of(cls, seconds: float, cancelled: Callable[[], bool]) -> Limits:
        return cls(seconds, cancelled, time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds until the end. Raises `NodeTimeout` when it is past, and `StepError` when the run is."""
        if self.cancelled():
            raise StepError("the run was cancelled", code="CANCELLED")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise NodeTimeout(f"the database did not finish within {self.seconds:g} s")
        return left

    def drive(self, steps: Generator[Any, Any, T], fileno: int = -1) -> T:
        """Run what psycopg does, which yields what it waits for: a state, when connecting with the socket's number."""
        try:
            wanted = next(steps)
            while True:
                number, state = wanted if isinstance(wanted, tuple) else (fileno, wanted)
                wanted = steps.send(self._ready(number, state))
        except StopIteration as end:
            result: T = end.value
            return result

    def _ready(self, fileno: int, state: int) -> int:
        poll = select.poll()
        poll.register(fileno, (select.POLLIN if state & Wait.R else 0) | (select.POLLOUT if state & Wait.W else 0))
        while not (events := poll.poll(min(self.left(), _LOOK) * 1000)):
            pass
        if _received(fileno) > MAX_RECEIVED:
            raise ValueTooLarge(f"the database sent more than {MAX_RECEIVED:,} bytes", hint="select less, or in parts")
        mask = events[0][1]
        broken = mask & (select.POLLERR | select.POLLHUP)  # reading says what happened
        ready = (Ready.R if mask & select.POLLIN or broken else 0) | (Ready.W if mask & select.POLLOUT else 0)
        return ready or int(Ready.R)


def _received(fileno: int) -> int:
    """Bytes that came in on a connection; 0 where the system does not count them."""
    number = getattr(socket, "TCP_INFO", None)
    if number is None:
        return 0
    with socket.fromfd(fileno, socket.AF_INET, socket.SOCK_STREAM) as known, suppress(OSError):
        return int.from_bytes(known.getsockopt(socket.IPPROTO_TCP, number, 192)[_BYTES_RECEIVED], "little")
    return 0


class Guarded(psycopg.Connection[Any]):
    """A connection that waits within limits."""

    limits: Limits

    def wait(self, gen: Any, interval: float = 0.0, timeout: float | None = None) -> Any:
        return self.limits.drive(gen, self.pgconn.socket)


@contextmanager
def session(
    dialer: Dialer, server: PostgresServer, limits: Limits, allow: Sequence[Sequence[str]] = ()
) -> Iterator[Guarded]:
    """A connection, in the end closed; what still runs on the server then is cancelled.

    Raises `StepError`: `ConnectFailed`, `PostgresAuth`, `Postgres:<SQLSTATE>`; and what the dialer and the limits
    raise.
    """
    connection = _connect(dialer, server, limits, allow)
    done = False
    try:
        yield connection
        done = True
    except psycopg.Error as error:
        raise failure(error) from None
    finally:
        if not done and not connection.closed:
            with suppress(psycopg.Error):
                psycopg.Connection.cancel_safe(connection, timeout=2.0)
        connection.close()


def _connect(dialer: Dialer, server: PostgresServer, limits: Limits, allow: Sequence[Sequence[str]]) -> Guarded:
    addresses = dialer.addresses(*server.place, allow)
    for index, address in enumerate(addresses):
        # An address that swallows packets must leave time for the others.
        share = Limits.of(limits.left() / (len(addresses) - index), limits.cancelled)
        with tempfile.TemporaryDirectory(prefix="flowrunner-") as folder:
            options = _options(server, address, server.mode(addresses), Path(folder))
            try:
                made = Guarded(share.drive(generators.connect(make_conninfo("", **options))))
            except psycopg.Error as error:
                found = _unconnected(error, server)
            except NodeTimeout:
                found = StepError("the database did not answer in time", code="ConnectFailed", retryable=True)
            else:
                made.limits = limits
                made._adapters = adapters()  # noqa: SLF001 - the constructor takes none
                made.autocommit = True
                made.prepare_threshold = None  # poolers hand a session on with its prepared statements
                return made
        if not found.retryable:
            raise found
    limits.left()
    raise found


def _options(server: PostgresServer, address: str, mode: str, folder: Path) -> Mapping[str, Any]:
    """All that libpq would otherwise look for; it takes an option that is left out from the environment."""
    checked = mode.startswith("verify")
    private = checked or (mode == "prefer" and server.sslmode is None)
    # Nobody is sent the password in clear who has not shown a certificate; only a server on this machine.
    ways = "none,scram-sha-256,md5" + (",password" if private else "")
    certificates = folder / "trusted.pem"  # for the other modes there must be none: libpq would check against it
    if checked:
        text = server.root_certificate or Path(certifi.where()).read_text(encoding="utf-8")
        certificates.write_text(text, encoding="utf-8", errors="replace")
    user = server.user or ""
    options = {
        "hostaddr": address,
        "host": server.place[0].removesuffix("."),
        "port": server.port,
        "user": user,
        "password": server.password or "-",  # so that none is looked for; without one it is not sent either
        "require_auth": ways if server.password else "none",
        "dbname": server.database or user,
        "sslmode": mode,
        "sslrootcert": str(certificates),
        "sslcrl": str(folder / "none"),
        "sslcertmode": "disable",
        "sslnegotiation": "postgres",
        "ssl_min_protocol_version": "TLSv1.2",
        "gssencmode": "disable",
        "target_session_attrs": "any",
        "load_balance_hosts": "disable",
        "channel_binding": "prefer",
        "client_encoding": "UTF8",
        "application_name": "flowrunner",
    }
    if any(one.keyword == b"options" and one.val for one in Conninfo.get_defaults()):
        options["options"] = " "  # PGOPTIONS; else nothing is sent, which some poolers refuse
    return options


def failure(error: psycopg.Error) -> StepError:
    """What a flow sees of an error of psycopg's."""
    state, told = error.sqlstate, error.diag
    if state == "57014":
        return NodeTimeout(
            "the statement was cancelled: it ran longer than `statement_timeout`, or somebody stopped it"
        )
    if state is not None:
        found = StepError(
            f"PostgreSQL: {(told.message_primary or state)[:MAX_WORDS]}",
            code=f"Postgres:{state}",
            retryable=state.startswith(_RETRYABLE),
            hint=told.message_hint and told.message_hint[:MAX_WORDS],
            sqlstate=state,
        )
        place = {"table": told.table_name, "column": told.column_name, "constraint": told.constraint_name}
        found.details |= {
            name: text[:MAX_WORDS] for name, text in (place | {"detail": told.message_detail}).items() if text
        }
        return found
    words = _one_line(error)
    if isinstance(error, psycopg.OperationalError):
        return StepError(f"the connection broke: {words}", code="ConnectFailed", retryable=True)
    if isinstance(error, psycopg.DataError):
        return ParamsInvalid(words)
    return StepError(f"PostgreSQL: {words}", code="Postgres")


def _unconnected(error: psycopg.Error, server: PostgresServer) -> StepError:
    """Why there is no connection, as far as libpq's words tell: it gives no SQLSTATE."""
    words = _one_line(error)
    host, port = server.place
    login = ("authentication failed", "authentication method", "no password", "FATAL: role")
    if any(one in words for one in login):
        return StepError(f"{host}:{port} refused the login: {words}", code="PostgresAuth")
    final = ("certificate", "SSL", "does not exist", "no pg_hba.conf")
    return StepError(
        f"no connection to {host}:{port}: {words}",
        code="ConnectFailed",
        retryable=not any(one in words for one in final),
    )


def _one_line(error: psycopg.Error) -> str:
    text = " ".join(str(error).split())[:500]
    return "".join(char if char.isprintable() else " " for char in text)
