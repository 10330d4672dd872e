"""Asking a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from flowrunner.core.flow import Json
from flowrunner.errors import StepError, ValueTooLarge
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result
from flowrunner.nodes.fields import Period, presence
from flowrunner.nodes.postgres_server import PostgresServer

if TYPE_CHECKING:
    from psycopg import RawCursor

    from flowrunner.nodes.postgres_session import Guarded, Limits

MAX_PARAMETERS = 65_535
"""Of one statement (PostgreSQL documentation, appendix K)."""

_SPLICED = "has an expression; write $1, $2 … in the statement, and the values in `parameters`"


class Statement(Params):
    """One statement and its values."""

    sql: str = Field(min_length=1, max_length=1_000_000, description="With $1, $2 … for the values; no expressions.")
    parameters: list[Json] = Field([], max_length=MAX_PARAMETERS, description="The values of $1, $2 …, in order.")
    batch: list[list[Json]] | None = Field(
        None, max_length=10_000, description="Instead of `parameters`: the statement runs once for each list of values."
    )
    fetch: Literal["all", "one", "none"] = Field(
        "all", description="What is kept of what it answers: all rows, the first, or none."
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.batch is not None and self.parameters:
            raise presence("give `parameters` or `batch`, not both")
        return self


class PostgresQueryParams(Params):
    """Parameters of `postgres.query`."""

    server: PostgresServer = Field(description="{host, port, user, password, database, sslmode}, or {dsn}.")
    sql: str | None = Field(
        None, min_length=1, max_length=1_000_000, description="With $1, $2 … for the values; no expressions."
    )
    parameters: list[Json] = Field([], max_length=MAX_PARAMETERS, description="The values of $1, $2 …, in order.")
    batch: list[list[Json]] | None = Field(
        None, max_length=10_000, description="Instead of `parameters`: the statement runs once for each list of values."
    )
    fetch: Literal["all", "one", "none"] = Field(
        "all", description="What is kept of what it answers: all rows, the first, or none."
    )
    statements: list[Statement] | None = Field(
        None, min_length=1, max_length=100, description="Instead of `sql`: several, one after the other."
    )
    transaction: bool = Field(True, description="All or nothing. False for what must not be in one, like VACUUM.")
    isolation: Literal["read committed", "repeatable read", "serializable"] | None = Field(
        None, description="Of the transaction; left out, the database's own."
    )
    read_only: bool = Field(False, description="The transaction may change nothing.")
    max_rows: int = Field(10_000, ge=1, le=100_000, description="Of a statement; more fail the step.")
    statement_timeout: Period | None = Field(
        None, description="For each statement, kept by the server; left out: what is left of `timeout`."
    )
    timeout: Period = Field(
        60_000, description="For all of it; like 500ms or 1m, or in seconds.", json_schema_extra={"default": "1m"}
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.sql is None) == (self.statements is None):
            raise presence("give either `sql` or `statements`")
        own = {"parameters", "batch", "fetch"} & self.model_fields_set
        if self.statements is not None and own:
            raise presence("with `statements`, each of them has its own `parameters`, `batch` and `fetch`")
        if self.batch is not None and self.parameters:
            raise presence("give `parameters` or `batch`, not both")
        if not self.transaction and (self.isolation is not None or self.read_only):
            raise presence("`isolation` and `read_only` are of a transaction")
        return self

    def all_statements(self) -> list[Statement]:
        if self.statements is not None:
            return self.statements
        return [Statement(sql=self.sql or "", parameters=self.parameters, batch=self.batch, fetch=self.fetch)]


class PostgresQueryOutput(Output):
    """What came of it."""

    rows: list[Json] | None = Field(None, description="With `fetch: all`: an object per row.")
    row: Json = Field(None, description="With `fetch: one`: the first row, or null.")
    count: int | None = Field(None, description="Rows that were answered or changed.")
    results: list[Json] | None = Field(None, description="With `statements`: {rows, row, count} of each, as asked for.")


class PostgresQueryNode(NodeType[PostgresQueryParams]):
    """Runs SQL on a PostgreSQL database.

    Values never become part of a statement: `sql` has `$1`, `$2` … where they belong, and they are sent beside it, in
    `parameters`. An expression in `sql` is refused when the flow is saved. The server takes each value for what its
    place wants; where it cannot know, write a cast: `$1::int`. A list is an array, an object is JSON, `{$bytes:
    base64}` is `bytea`; a list as JSON is `${JSON.stringify(input.items)}`.

    Rows are objects by column name; two columns of one name fail the step. Numbers that JSON's readers would round
    (beyond 2^53, or with more digits than a double has) come as texts, `timestamp` and `timestamptz` as in RFC 3339,
    in UTC; `bytea` as `{$bytes}`; arrays and JSON as what they are; all else as the text that PostgreSQL writes.

    All statements run in one transaction on a connection of the step's own, which is closed afterwards. The certificate
    has to be valid for the host unless `sslmode` says otherwise. Connections go through the egress guard
    (`EGRESS_DENIED`), by TCP, to any port; nothing is taken from the machine: no `PG…` variables, no files. A password
    is sent in clear only under a certificate that was checked.

    An error of the server fails the step with `Postgres:<SQLSTATE>`, like `Postgres:23505` for a value that is there
    already; broken serialisations, deadlocks and a server that is starting, stopping or full are retryable. A refused
    login is `PostgresAuth`; no connection, or a broken one, `ConnectFailed` (retryable, unless TLS or the database's
    name is the reason); too late is `NodeTimeout` (retryable), of which the server is told; more than `max_rows`, or
    32 MiB in all, `VALUE_TOO_LARGE`. When the connection breaks during the commit nobody knows whether it happened: let
    a retry find that out by `INSERT … ON CONFLICT`.

    The functions on AWS have the driver when they are deployed with the extra `postgres`; without it a step fails with
    `NotInstalled`.
    """

    name = "postgres.query"
    params = PostgresQueryParams
    output = PostgresQueryOutput
    category = "data"
    icon = "database"
    example = """\
type: postgres.query
params:
  server: {host: db.example.com, user: shop, password: "${secrets.DB_PASSWORD}", database: shop}
  sql: SELECT id, total FROM orders WHERE customer = $1 AND status = ANY($2) ORDER BY id
  parameters: ["${input.customer}", [open, paid]]
"""

    @classmethod
    def problems(cls, params: Mapping[str, Json]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from _spliced(params.get("sql"), ("sql",))
        statements = params.get("statements")
        yield from _spliced(statements, ("statements",))
        for index, one in enumerate(statements if isinstance(statements, list) else ()):
            yield from _spliced(one, ("statements", index))
            if isinstance(one, dict):
                yield from _spliced(one.get("sql"), ("statements", index, "sql"))

    def execute(self, ctx: Context[PostgresQueryParams]) -> Result:
        try:
            from flowrunner.nodes.postgres_session import Limits, session
        except ImportError as error:
            raise StepError(
                "the PostgreSQL driver (the package psycopg) is not installed here",
                code="NotInstalled",
                hint="on AWS, deploy with the extra `postgres`",
            ) from error
        params = ctx.params
        limits = Limits.of(min(params.timeout / 1000, ctx.time_left()), ctx.cancelled)
        with session(ctx.dialer, params.server, limits, ctx.egress) as connection:
            connection.execute(_opening(params, limits))
            results = [_run(connection, one, params.max_rows) for one in params.all_statements()]
            if params.transaction:
                connection.execute("COMMIT")
        return Result(results[0] if params.statements is None else {"results": results})


def _spliced(value: Json, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str) and "${" in value:
        yield place, _SPLICED


def _opening(params: PostgresQueryParams, limits: Limits) -> Any:
    """The first words of a session: how it writes values, how long it may take, and the transaction."""
    millis = min(params.statement_timeout or params.timeout, max(1, int(limits.left() * 1000)))
    local = "LOCAL " if params.transaction else ""
    words = [
        f"SET {local}statement_timeout = {millis}",
        *(f"SET {local}{one}" for one in ("TimeZone = 'UTC'", "DateStyle = 'ISO'", "bytea_output = 'hex'")),
        f"SET {local}extra_float_digits = 1",
    ]
    if params.transaction:
        isolation = f" ISOLATION LEVEL {params.isolation.upper()}" if params.isolation else ""
        words.insert(0, f"BEGIN{isolation}{' READ ONLY' if params.read_only else ''}")
    return "; ".join(words)


def _run(connection: Guarded, one: Statement, max_rows: int) -> dict[str, Json]:
    from psycopg import RawCursor

    from flowrunner.nodes.postgres_values import parameter

    with RawCursor(connection) as cursor:
        if one.batch is None:
            cursor.execute(one.sql, [parameter(value, f"parameters.{at}") for at, value in enumerate(one.parameters)])
        else:
            values = [
                [parameter(value, f"batch.{line}.{at}") for at, value in enumerate(row)]
                for line, row in enumerate(one.batch)
            ]
            cursor.executemany(one.sql, values, returning=one.fetch != "none")
        if one.fetch == "none":
            return {"count": max(cursor.rowcount, 0)}
        rows, count = _rows(cursor, max_rows, first=one.fetch == "one")
    return {"rows": rows, "count": count} if one.fetch == "all" else {"row": next(iter(rows), None), "count": count}


def _rows(cursor: RawCursor[Any], max_rows: int, *, first: bool) -> tuple[list[Json], int]:
    """The rows (or the first) of all that a statement, or a batch, answered; and how many it answered or changed."""
    found: list[Json] = []
    count = 0
    while True:
        count += max(cursor.rowcount, 0)
        if cursor.description is not None:
            names = [column.name for column in cursor.description]
            double = next((name for name in names if names.count(name) > 1), None)
            if double is not None:
                raise StepError(f"two columns are called {double!r}", code="Postgres:42701", hint="name one by AS")
            if count > max_rows:
                raise ValueTooLarge(f"there are more than {max_rows:,} rows", hint="use LIMIT, or raise `max_rows`")
            rows = cursor.fetchmany(0 if found else 1) if first else cursor.fetchall()
            found += [dict(zip(names, row, strict=True)) for row in rows]
        if not cursor.nextset():
            return found[:1] if first else found, count
