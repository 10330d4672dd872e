"""Handing a message over to an SMTP server (RFC 5321), over a guarded connection."""

from __future__ import annotations

import re
import smtplib
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress

from flowrunner.errors import ParamsInvalid, StepError
from flowrunner.nodes.mail_server import SmtpServer, broken, connect_failed, printable
from flowrunner.ports.dialer import Connection, Dialer

MAX_ANSWERS = 256 * 1024
"""What a server may say in all."""

Refused = Mapping[str, tuple[int, bytes]]
"""Code and text by recipient."""


def deliver(
    dialer: Dialer,
    server: SmtpServer,
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    *,
    seconds: float,
    allow: Sequence[Sequence[str]] = (),
) -> Refused:
    """Hand the message over; the recipients that the server refused, if it took it for others.

    Raises `StepError`: `ConnectFailed`, `SmtpAuth`, `SmtpRejected:<code>`; and what the dialer and its connections
    raise.
    """
    connection = dialer.connect(*server.place, seconds, allow, MAX_ANSWERS)
    client = _Client(server, connection)
    try:
        client.open()
        refused: Refused = client.sendmail(sender, list(recipients), content)
        with suppress(OSError, smtplib.SMTPException, StepError):  # it has the message
            client.quit()
    except smtplib.SMTPException as error:
        raise _translated(server, error) from None
    except OSError as error:
        raise broken(server, error) from error
    else:
        return refused
    finally:
        client.close()
        connection.socket.close()


class _Client(smtplib.SMTP):
    """Python's client on a connection that is open."""

    def __init__(self, server: SmtpServer, connection: Connection) -> None:
        # Without a name here, Python asks the resolver for ours. An address always is true (RFC 5321, 4.1.3).
        address = connection.socket.getsockname()[0]
        super().__init__(local_hostname=f"[IPv6:{address}]" if ":" in address else f"[{address}]")
        self._host = server.host
        self._server = server
        self._connection = connection

    def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:
        connection = self._connection
        if self._server.mode == "tls":
            return connection.tls.wrap_socket(connection.socket, server_hostname=host)
        return connection.socket

    def open(self) -> None:
        """Greet, secure and log in."""
        server = self._server
        code, text = self.connect(*server.place)
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        self.ehlo_or_helo_if_needed()
        secure = server.mode == "tls"
        if server.mode == "starttls":
            if self.has_extn("starttls"):
                self.starttls(context=self._connection.tls)
                self.ehlo_or_helo_if_needed()
                secure = True
            elif not server.may_be_plain(self._connection):
                raise server.no_starttls()
        server.check_login(self._connection, secure=secure)
        if server.username is not None and server.password is not None:
            try:
                self.login(server.username, server.password)
            except UnicodeEncodeError:
                raise ParamsInvalid("user name and password for SMTP must be ASCII") from None


def _translated(server: SmtpServer, error: smtplib.SMTPException) -> StepError:
    """By type and code, never by a text; `from None` since Python's errors keep what was sent."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return _nobody(error.recipients)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        # Its text is not shown: a server can repeat in it what it was sent.
        status = re.match(rb"\d\.\d{1,3}\.\d{1,3}\b", _bytes(error.smtp_error))
        what = f"{error.smtp_code} {status[0].decode()}" if status else str(error.smtp_code)
        return StepError(
            f"{server.host} does not accept user name and password: {what}",
            code="SmtpAuth",
            retryable=400 <= error.smtp_code < 500,
            hint="some providers want a password for applications",
            status=error.smtp_code,
        )
    if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 400:
        return _rejected(f"{server.host} answered", error.smtp_code, _bytes(error.smtp_error))
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return connect_failed(server, "it offers no login that we know", retryable=False)
    return connect_failed(server, "it hung up" if isinstance(error, smtplib.SMTPServerDisconnected) else "no SMTP")


def _nobody(recipients: Refused) -> StepError:
    """Worth another try only if it is for one of them."""
    code, text = max(recipients.values(), key=lambda answer: 400 <= answer[0] < 500)
    error = _rejected("no recipient was accepted:", code, text)
    error.details["refused"] = refusals(recipients)
    return error


def refusals(refused: Refused) -> list[dict[str, str | int]]:
    """Refused recipients as a flow sees them."""
    return [{"address": address, "code": code, "message": printable(text)} for address, (code, text) in refused.items()]


def _rejected(what: str, code: int, text: bytes) -> StepError:
    return StepError(
        f"{what} {code} {printable(text)}".rstrip(),
        code=f"SmtpRejected:{code}",
        retryable=400 <= code < 500,
        status=code,
    )


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")
