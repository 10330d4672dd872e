"""Connections to PostgreSQL: the pool, what may be repeated, vendor errors as ours, migrations.

Every statement of this adapter is written for an index and most drive it from arrays, so the planner is told
to use nested loops over indexes: a plan made while a table was empty would otherwise scan it for as long as
the plan is cached, and the order in which rows are locked would be the plan's and not ours. Which index, it
cannot tell while the table is empty: all cost the same then, and one that knows the account alone reads every
run of it later. So a connection has its plans made anew the more often it is used, at `FIRST_PLANS` uses and
whenever they have doubled: tables that grew before anybody analyzed them are seen as they are.

What may be repeated: a deadlock or serialization failure was rolled back for certain. A connection that broke
in the middle leaves open whether the statement was applied, so only statements marked `repeatable` are tried
again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from flowrunner.adapters.postgres.arrays import register
from flowrunner.adapters.postgres.schema import missing
from flowrunner.errors import ConfigurationError, FlowrunnerError, InvalidInput, StoreError

MIN_VERSION = 130000
TRIES = 4
CONNECT_SECONDS = 10
FIRST_PLANS = 16
MIGRATION_LOCK = 0x666C6F77  # "flow"; any number that others are unlikely to lock

SESSION = """
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
SET plan_cache_mode = force_generic_plan
"""

_ROLLED_BACK = frozenset({"40001", "40P01"})
_PACKAGE = "flowrunner.adapters.postgres"

T = TypeVar("T")


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """One of the pool, that knows how often it was used, and when its plans are made anew."""

    uses = 0
    plans_at = FIRST_PLANS

    def count_use(self) -> None:
        """Called before each use, outside of transactions."""
        self.uses += 1
        if self.uses >= self.plans_at:
            self.execute("DISCARD PLANS")
            self.plans_at *= 2


Parameters = Sequence[Any] | Mapping[str, Any]


@cache
def statement(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return files(_PACKAGE).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


class Database:
    """One database. Safe for several threads."""

    def __init__(self, url: str, pool_size: int) -> None:
        """Raises `ConfigurationError` for a URL that is none; whether the server is there is seen on first
        use.
        """
        try:
            known = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # The vendor's message would repeat the URL, and with it the password.
            raise ConfigurationError(
                "the PostgreSQL URL cannot be read", hint="store.url is postgresql://user@host:5432/database"
            ) from None
        self.url = url
        self._closed = False
        host, port = known.get("host", "localhost"), known.get("port", 5432)
        self.place = f"PostgreSQL at {host}:{port}/{known.get('dbname', '')}"
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            connection_class=Connection,
            kwargs={"autocommit": True, "connect_timeout": CONNECT_SECONDS, "application_name": "flowrunner"},
            min_size=1,
            max_size=pool_size,
            timeout=CONNECT_SECONDS,
            configure=_configure,
            open=False,
        )

    def read(self, sql: str, parameters: Parameters = (), *, repeatable: bool = True) -> list[tuple[Any, ...]]:
        """The rows that one statement gives."""
        return self.do(lambda connection: execute(connection, sql, parameters).fetchall(), repeatable=repeatable)

    def run(self, sql: str, parameters: Parameters, *, repeatable: bool) -> int:
        """Run one statement; answers how many rows it touched."""
        return self.do(lambda connection: execute(connection, sql, parameters).rowcount, repeatable=repeatable)

    def transaction(self, work: Callable[[Connection], T], *, repeatable: bool) -> T:
        """Do `work` within a transaction."""

        def whole(connection: Connection) -> T:
            with connection.transaction():
                return work(connection)

        return self.do(whole, repeatable=repeatable)

    def do(self, work: Callable[[Connection], T], *, repeatable: bool) -> T:
        """Do `work` on a connection. Raises `StoreError`, or `InvalidInput` for values that cannot be
        stored.
        """
        for left in reversed(range(TRIES)):
            connection = self._connection()
            try:
                connection.count_use()
                return work(connection)
            except psycopg.Error as error:
                lost = connection.closed
                again = error.sqlstate in _ROLLED_BACK or (lost and repeatable)
                if not again or not left:
                    raise self.translated(error) from error
            except UnicodeEncodeError as error:
                raise InvalidInput("text with half a surrogate pair cannot be stored") from error
            finally:
                self._pool.putconn(connection)
            if lost:
                self._pool.check()  # a server that went away took the other connections with it
        raise AssertionError("the last try returns or raises")

    def connect(self) -> Connection:
        """A connection outside the pool. Raises `StoreError` when there is none to be had."""
        try:
            return Connection.connect(
                self.url, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="flowrunner"
            )
        except psycopg.Error as error:
            raise StoreError(
                f"{self.place} cannot be reached: {str(error).strip()}",
                hint="check store.url and that the server runs",
            ) from error

    def migrate(self) -> None:
        """See `ports.backend.Backend`. A lock lets one process at a time look and apply."""
        with self.connect() as connection:
            self._check_server(connection)
            try:
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
                    self._migrate(connection)
            except psycopg.errors.InsufficientPrivilege as error:
                raise ConfigurationError(
                    f"{self.place}: this user may not create the schema `flowrunner` or its tables",
                    hint="as the database's owner: CREATE SCHEMA flowrunner AUTHORIZATION <user>",
                ) from error
            except psycopg.Error as error:
                raise self.translated(error) from error

    def close(self) -> None:
        self._closed = True
        self._pool.close()

    def translated(self, error: psycopg.Error) -> FlowrunnerError:
        """A vendor error as ours, by its SQLSTATE (PostgreSQL manual, appendix A)."""
        state = error.sqlstate or ""
        text = error.diag.message_primary or str(error).strip()
        if isinstance(error, psycopg.DataError) or state.startswith("22"):
            return InvalidInput(f"a value cannot be stored: {text}", sqlstate=state)
        hint = None
        if state in ("42P01", "3F000"):
            hint = "the schema is missing: start a flowrunner process that migrates it"
        elif state.startswith("53"):
            hint = "the server is out of disk, memory or connections"
        return StoreError(f"{self.place}: {text}", hint=hint, sqlstate=state)

    def _connection(self) -> Connection:
        if self._closed:
            raise StoreError(f"{self.place}: the store is closed")
        try:
            self._pool.open()
            return self._pool.getconn()
        except PoolTimeout as error:
            raise StoreError(f"{self.place} gave no connection within {CONNECT_SECONDS} s") from error
        except (PoolClosed, psycopg.OperationalError) as error:
            raise StoreError(f"{self.place}: the store is closed") from error

    def _check_server(self, connection: Connection) -> None:
        version = connection.info.server_version
        if version < MIN_VERSION:
            raise ConfigurationError(f"{self.place} is version {version // 10000}; 13 or newer is needed")
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise ConfigurationError(
                f"{self.place} keeps text as {encoding}; UTF8 is needed",
                hint="CREATE DATABASE ... ENCODING 'UTF8'",
            )

    def _migrate(self, connection: Connection) -> None:
        if connection.execute("SELECT to_regnamespace('flowrunner')").fetchone() == (None,):
            connection.execute("CREATE SCHEMA flowrunner")
        if connection.execute("SELECT to_regclass('flowrunner.schema_version')").fetchone() == (None,):
            connection.execute(
                "CREATE TABLE flowrunner.schema_version (version integer PRIMARY KEY, name text NOT NULL)"
            )
        found = connection.execute("SELECT coalesce(max(version), 0) FROM flowrunner.schema_version").fetchone()
        assert found is not None, "an aggregate gives a row"
        for migration in missing(_PACKAGE, found[0], self.place):
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO flowrunner.schema_version VALUES (%s, %s)", (migration.version, migration.name)
            )


def execute(connection: Connection, sql: str, parameters: Parameters = ()) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run a statement, prepared at its first use and with results in the binary format."""
    return connection.execute(sql, parameters, prepare=True, binary=True)


def _configure(connection: Connection) -> None:
    register(connection.adapters)
    connection.execute(SESSION)
