"""Where a PostgreSQL server is, and how to log in to it, as the parameter `server`."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, model_validator

from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.base import Params
from flowrunner.nodes.fields import presence
from flowrunner.nodes.mail_server import Line

SslMode = Literal["verify-full", "verify-ca", "require", "prefer", "disable"]

_IN_URL = frozenset({"sslmode"})
"""What may stand after the question mark of a DSN; anything else would be ignored, or is not for a flow to say."""


class PostgresServer(Params):
    """A server, a database of it, and a login."""

    dsn: Line | None = Field(
        None,
        min_length=1,
        max_length=4_000,
        description="postgresql://user:password@host:5432/database?sslmode=verify-full; or give the parts.",
    )
    host: str | None = Field(None, min_length=1, max_length=255, description="Name or address; no socket, one host.")
    port: int = Field(5432, ge=1, le=65_535, description="Any may be reached on public hosts.")
    user: Line | None = Field(None, min_length=1, max_length=500, description="A role of the server.")
    password: Line | None = Field(None, min_length=1, max_length=4_000, description="Left out: no login by password.")
    database: Line | None = Field(None, min_length=1, max_length=500, description="Left out: called like the user.")
    sslmode: SslMode | None = Field(
        None,
        description="As libpq has it. Left out: verify-full, which only a server on this machine need not offer.",
    )
    root_certificate: str | None = Field(
        None,
        min_length=1,
        max_length=1_000_000,
        description="PEM text of the authorities that are trusted, instead of the public ones.",
    )

    @model_validator(mode="before")
    @classmethod
    def _parts(cls, given: Any) -> Any:
        """Takes a DSN apart; nobody but us reads it, so that nothing can be smuggled in."""
        if not isinstance(given, dict) or not isinstance(given.get("dsn"), str) or "${" in given["dsn"]:
            return given
        double = sorted(given.keys() & {"host", "port", "user", "password", "database"})
        if double:
            raise presence(f"give `dsn` or {', '.join(f'`{name}`' for name in double)}, not both")
        return {**_parts_of(given["dsn"]), **given}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.dsn is None and (self.host is None or self.user is None):
            raise presence("give `dsn`, or `host` and `user`")
        if self.root_certificate is not None and self.sslmode not in (None, "verify-full", "verify-ca"):
            raise ValueError("a `root_certificate` is for `sslmode: verify-full` and `verify-ca`")
        return self

    @property
    def place(self) -> tuple[str, int]:
        if self.host is None:  # a DSN that had an expression, and still looks as if it had one
            raise ParamsInvalid("the `dsn` cannot be read", hint="percent-encode `$`, `{` and `}` as %24, %7B and %7D")
        return self.host.strip("[]"), self.port

    def mode(self, addresses: Sequence[str]) -> SslMode:
        """What is asked of TLS by default: everything, but nothing of a server on this machine."""
        if self.sslmode is not None:
            return self.sslmode
        if self.root_certificate is None and all(ipaddress.ip_address(one).is_loopback for one in addresses):
            return "prefer"
        return "verify-full"


def _parts_of(dsn: str) -> dict[str, Any]:
    """A DSN as parameters. Raises `ValueError`, which shows nothing of it: it is a credential."""
    try:
        parts = urlsplit(dsn.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the `dsn` cannot be read; percent-encode what is special in a URL") from None
    if parts.scheme not in ("postgresql", "postgres") or not host or not parts.username or parts.fragment:
        raise ValueError("the `dsn` is none like postgresql://user:password@host:5432/database")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options.keys() - _IN_URL:
        raise ValueError("the `dsn` may only have `sslmode` after its question mark")
    found = {
        "host": unquote(host),
        "port": port,
        "user": unquote(parts.username),
        "password": unquote(parts.password) if parts.password else None,
        "database": unquote(parts.path[1:]) or None,
        **options,
    }
    return {name: value for name, value in found.items() if value is not None}
