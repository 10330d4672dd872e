"""What can be said to postgres.query, and what is refused before any connection."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.adapters.dialer import GuardedDialer
from flowrunner.adapters.egress import Guard
from flowrunner.core.flow import Json
from flowrunner.errors import EgressDenied, ParamsInvalid
from flowrunner.nodes.postgres_query import PostgresQueryNode
from flowrunner.nodes.postgres_server import PostgresServer
from flowrunner.nodes.registry import Registry
from pydantic import ValidationError

from tests.nodes.context import context

NODE = PostgresQueryNode()


@pytest.mark.parametrize(
    "server",
    [
        {"dsn": "host=127.0.0.1 user=a"},
        {"dsn": "postgresql:///db?host=/var/run/postgresql"},
        {"dsn": "postgresql://a@h/db?options=-c%20x%3Dy"},
        {"dsn": "postgresql://a@h/db?hostaddr=127.0.0.1"},
        {"dsn": "postgresql://a@h/db?service=x"},
        {"dsn": "postgresql://a@h:99999/db"},
        {"dsn": "postgresql://a@h/db", "host": "other"},
        {"host": "h", "user": "a\0hostaddr=127.0.0.1"},
        {"host": "h", "user": "a", "options": "-c x=y"},
        {"host": "h", "user": "a", "sslmode": "allow"},
        {"host": "h", "user": "a", "sslmode": "require", "root_certificate": "x"},
        {"host": "h"},
        {},
    ],
)
def test_servers_that_are_none(server: dict[str, Any]) -> None:
    """Nothing but what is documented can be said of a server."""
    with pytest.raises(ValidationError):
        PostgresServer.model_validate(server)


def test_a_dsn_may_be_an_expression() -> None:
    """When the flow is saved it is not read; what it gives is, and never in part."""
    server = {"dsn": "${secrets.DATABASE_URL}"}
    assert (
        Registry(plugins=()).check_params(
            "postgres.query", {"server": server, "sql": "SELECT 1"}, lambda value: "${" in str(value)
        )
        == []
    )
    with pytest.raises(ParamsInvalid, match="dsn"):
        NODE.execute(context(NODE, {"server": server, "sql": "SELECT 1"}))
    read = PostgresServer.model_validate({"dsn": "postgres://a:p%40@[2001:db8::1]/d?sslmode=require"})
    assert (read.place, read.user, read.password) == (("2001:db8::1", 5432), "a", "p@")
    assert (read.database, read.sslmode) == ("d", "require")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.5", "169.254.169.254", "::1", "/tmp", "a,b", "@x"])
def test_the_guard_is_asked(host: str) -> None:
    """Nothing private, no sockets, no lists of hosts; a database or user that looks like options is only a name."""
    guarded = GuardedDialer(Guard([], lambda _host, _port, _seconds: ["127.0.0.1"]))
    server = {"host": host, "user": "a' hostaddr='127.0.0.1", "database": "postgresql://b@127.0.0.1/c"}
    with pytest.raises(EgressDenied):
        NODE.execute(context(NODE, {"server": server, "sql": "SELECT 1"}, dialer=guarded))


@pytest.mark.parametrize(
    "params",
    [
        {"sql": "SELECT ${input.column} FROM t"},
        {"sql": "${input.sql}"},
        {"statements": [{"sql": "SELECT 1"}, {"sql": "DELETE FROM t WHERE id = ${input.id}"}]},
        {"statements": ["${input.statement}"]},
        {"statements": "${input.statements}"},
    ],
)
def test_expressions_in_sql_are_refused(params: dict[str, Json]) -> None:
    """When the flow is saved: no value of a run becomes part of a statement."""
    found = Registry(plugins=()).check_params(
        "postgres.query", {"server": {"host": "h", "user": "a"}, **params}, lambda value: "${" in str(value)
    )
    assert any("write $1" in message for _, message in found)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"sql": "SELECT 1", "statements": [{"sql": "SELECT 1"}]},
        {"sql": "SELECT $1", "parameters": [1], "batch": [[1]]},
        {"statements": [{"sql": "SELECT $1", "parameters": [1], "batch": [[1]]}]},
        {"statements": [{"sql": "SELECT 1"}], "fetch": "one"},
        {"sql": "SELECT 1", "transaction": False, "read_only": True},
        {"sql": "SELECT 1", "timeout": "0s"},
    ],
)
def test_params_that_do_not_fit(params: dict[str, Json]) -> None:
    """What would be ignored is refused."""
    with pytest.raises(ValidationError):
        NODE.params.model_validate({"server": {"host": "h", "user": "a"}, **params})
