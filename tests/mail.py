"""A real SMTP server on loopback for tests (aiosmtpd), and one that says what it is told to."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from flowrunner.adapters.dialer import GuardedDialer
from flowrunner.adapters.egress import Guard

HOST = "mail.example"


def dialer(cafile: object = None) -> GuardedDialer:
    """Reaches `HOST`, which is this machine, and trusts the certificate."""
    guard = Guard([HOST, "127.0.0.1"], lambda _host, _port, _seconds: ["127.0.0.1"])
    return GuardedDialer(guard, str(cafile) if cafile else None)


@dataclass(frozen=True)
class Mail:
    """A message as it came in."""

    sender: str
    recipients: list[str]
    content: bytes
    login: str | None
    secure: bool

    @property
    def message(self) -> EmailMessage:
        parsed = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@dataclass
class MailServer:
    """`with MailServer(...) as server:` runs it in a thread.

    `refusals` are its answers for senders, recipients, or `DATA`; `users` may log in, and nobody else may send when
    there are some.
    """

    tls: ssl.SSLContext | None = None
    implicit: bool = False
    users: Mapping[str, str] = field(default_factory=dict)
    refusals: Mapping[str, str] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)

    async def handle_MAIL(  # noqa: N802  # aiosmtpd finds it by this name
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.users and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if address in self.refusals:
            return self.refusals[address]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  # aiosmtpd finds it by this name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # as above
        if "DATA" in self.refusals:
            return self.refusals["DATA"]
        content = envelope.content
        assert isinstance(content, bytes)
        assert envelope.mail_from is not None
        login: Any = session.auth_data
        name = login.login.decode() if isinstance(login, LoginPassword) else None
        secure = self.implicit or session.ssl is not None
        self.mails.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), content, name, secure))
        return "250 OK"

    def _login(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        good = self.users.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=good, handled=False, auth_data=data if good else None)

    def _protocol(self) -> SMTP:
        return SMTP(
            self,
            hostname=HOST,
            tls_context=None if self.implicit else self.tls,
            auth_require_tls=False,
            authenticator=self._login if self.users else None,
            loop=self._loop,
        )

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        wrapping = self.tls if self.implicit else None
        starting = self._loop.create_server(self._protocol, "127.0.0.1", 0, ssl=wrapping)
        self._server = self._loop.run_until_complete(starting)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class ScriptedServer:
    """Takes one connection after another and talks line by line.

    `answers` gives what is sent for a line of the client (the first one for none); None hangs up, and an empty
    answer says nothing at all. `lines` is what the client sent.
    """

    def __init__(self, answers: Callable[[bytes | None], bytes | Sequence[bytes] | None]) -> None:
        self.lines: list[bytes] = []
        self._answers = answers
        self._open: socket.socket | None = None
        self._stopping = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with suppress(OSError):  # it was closed already
            if self._open is not None:
                self._open.shutdown(socket.SHUT_RDWR)
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open = connection
            with connection, connection.makefile("rb") as lines:
                self._talk(connection, lines)

    def _talk(self, connection: socket.socket, lines: Any) -> None:
        try:
            line: bytes | None = None
            while (answer := self._answers(line)) is not None:
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    if self._stopping.is_set():
                        return
                    connection.sendall(piece)
                line = lines.readline()
                if not line:
                    return
                self.lines.append(line)
        except OSError:
            """The client hung up."""
