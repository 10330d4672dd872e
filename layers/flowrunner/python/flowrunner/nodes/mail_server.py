"""Where mail is sent to and fetched from, as the parameter `server`."""

from __future__ import annotations

import unicodedata
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from flowrunner.errors import ParamsInvalid, StepError
from flowrunner.nodes.base import Params
from flowrunner.ports.dialer import Connection

Tls = Literal["starttls", "tls", "none"]


def one_line(text: str) -> str:
    """The text if it can stand in a header. Raises `ValueError` for line ends and other control characters."""
    for position, char in enumerate(text, 1):
        if unicodedata.category(char) in ("Cc", "Zl", "Zp"):
            raise ValueError(f"has the character {char!r} at position {position}; a header is one line of text")
    return text


Line = Annotated[str, AfterValidator(one_line)]
"""A text that can stand in a header, or in a command."""


class MailServer(Params):
    """A mail server and how to log in to it."""

    ports: ClassVar[dict[Tls, int]]
    usual: ClassVar[Tls]

    host: str = Field(
        min_length=1, max_length=255, description="Name or address; any port may be reached on public ones."
    )
    port: int | None = Field(None, ge=1, le=65_535, description="Left out, the usual one of the protocol for `tls`.")
    tls: Tls | None = Field(
        None,
        description="starttls, tls (from the first byte) or none. Left out: tls on its own port, else starttls, "
        "which only a server on this machine need not offer.",
    )
    username: Line | None = Field(None, min_length=1, max_length=500, description="Left out: no login.")
    password: Line | None = Field(None, min_length=1, max_length=4_000, description="Only sent under TLS.")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("give both `username` and `password`, or neither")
        return self

    @property
    def mode(self) -> Tls:
        if self.tls is not None:
            return self.tls
        if self.port is None:
            return self.usual
        return "tls" if self.port == self.ports["tls"] else "starttls"

    @property
    def place(self) -> tuple[str, int]:
        return self.host, self.port or self.ports[self.mode]

    def may_be_plain(self, connection: Connection) -> bool:
        """Whether a server that offers no STARTTLS is used all the same."""
        return self.tls is None and connection.loopback

    def check_login(self, connection: Connection, *, secure: bool) -> None:
        """Raises `ParamsInvalid` when the password would be sent where others can read it."""
        if self.username is not None and not secure and not connection.loopback:
            raise ParamsInvalid(
                f"the password would be sent to {self.host} in clear", hint="use `tls: starttls` or `tls: tls`"
            )

    def no_starttls(self) -> StepError:
        return connect_failed(
            self, "it offers no STARTTLS", retryable=False, hint="if it has TLS from the first byte, use `tls: tls`"
        )


class SmtpServer(MailServer):
    """An SMTP server."""

    ports: ClassVar[dict[Tls, int]] = {"starttls": 587, "tls": 465, "none": 25}
    usual: ClassVar[Tls] = "starttls"

    @classmethod
    def from_url(cls, url: str) -> Self:
        """`smtp://user:password@host:587`, or `smtps://…` for TLS from the first byte.

        Raises `ParamsInvalid`, which shows nothing of it: it is a credential.
        """
        try:
            return cls.model_validate(_parts_of(url))
        except ValueError:
            raise ParamsInvalid(
                "the address of the mail server is none like smtp://user:password@host:587",
                hint="percent-encode what is special in a URL; smtps:// is TLS from the first byte",
            ) from None


class ImapServer(MailServer):
    """An IMAP server."""

    ports: ClassVar[dict[Tls, int]] = {"starttls": 143, "tls": 993, "none": 143}
    usual: ClassVar[Tls] = "tls"

    username: Line = Field(min_length=1, max_length=500, description="Often the mail address.")
    password: Line = Field(min_length=1, max_length=4_000, description="Only sent under TLS.")


def connect_failed(server: MailServer, why: str, *, retryable: bool = True, hint: str | None = None) -> StepError:
    """No connection, or a broken one."""
    host, port = server.place
    return StepError(f"no connection to {host}:{port}: {why}", code="ConnectFailed", retryable=retryable, hint=hint)


def broken(server: MailServer, error: OSError | EOFError) -> StepError:
    """A connection that failed; a certificate that is not valid will not be so the next time."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return connect_failed(server, f"its certificate is not valid: {error.verify_message}", retryable=False)
    if isinstance(error, ssl.SSLError):
        return connect_failed(server, f"TLS: {error.reason or 'failed'}", retryable=False)
    return connect_failed(server, (error.strerror if isinstance(error, OSError) else None) or "it hung up")


def printable(text: bytes | str, most: int = 300) -> str:
    """What a server said, on one line."""
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join("".join(char if char.isprintable() else " " for char in decoded[:most]).split())


def _parts_of(url: str) -> dict[str, str | int | None]:
    """An SMTP URL as parameters. Raises `ValueError`."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("smtp", "smtps") or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("no SMTP URL")
    return {
        "host": parts.hostname,
        "port": parts.port,
        "tls": "tls" if parts.scheme == "smtps" else None,
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }
