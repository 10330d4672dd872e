"""Reading a mailbox by IMAP (RFC 3501), over a guarded connection."""

from __future__ import annotations

import imaplib
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from imap_tools import AND, BaseMailBox, ImapToolsError
from imap_tools.errors import UnexpectedCommandStatusError
from imap_tools.utils import encode_folder

from flowrunner.errors import StepError, ValueTooLarge
from flowrunner.nodes.mail_server import ImapServer, broken, connect_failed, printable
from flowrunner.ports.dialer import Connection, Dialer

PASSING = re.compile(r"\[(UNAVAILABLE|INUSE|LIMIT|SERVERBUG|CONTACTADMIN)\b", re.IGNORECASE)
"""Response codes of refusals that may be over later (RFC 5530)."""

_SIZE = re.compile(rb"RFC822\.SIZE (\d{1,18})", re.IGNORECASE)
_UID = re.compile(rb"\bUID (\d{1,10})", re.IGNORECASE)
_SEEN, _FLAGGED, _DELETED = r"\Seen", r"\Flagged", r"\Deleted"


class _Client(imaplib.IMAP4):
    """Python's client on a connection that is open."""

    def __init__(self, server: ImapServer, connection: Connection, max_bytes: int) -> None:
        self._server = server
        self._connection = connection
        self._max_bytes = max_bytes
        super().__init__(*server.place)

    def read(self, size: int) -> bytes:
        """Python takes memory for as much as the server announces, before anything comes."""
        if size > self._max_bytes:
            raise ValueTooLarge(f"{self._server.host} sends a piece of more than {self._max_bytes:,} bytes")
        return super().read(size)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        connection = self._connection
        if self._server.mode == "tls":
            return connection.tls.wrap_socket(connection.socket, server_hostname=self._server.host)
        return connection.socket


class _Raw:
    """An answer to FETCH, not parsed."""

    def __init__(self, answer: Sequence[Any]) -> None:
        pairs = [item for item in answer if isinstance(item, tuple)]
        self.content: bytes = pairs[-1][1] if pairs else b""
        lines = [item[0] if isinstance(item, tuple) else item for item in answer]
        self.flags = [flag.decode("utf-8", "replace") for line in lines if line for flag in imaplib.ParseFlags(line)]


class Mailbox(BaseMailBox):
    """A mailbox, logged in to. Made by `opened`."""

    email_message_class = _Raw  # type: ignore[assignment]  # the library parses messages without limits

    def __init__(self, server: ImapServer, connection: Connection, max_bytes: int) -> None:
        self._server = server
        self._connection = connection
        self._max_bytes = max_bytes
        super().__init__()

    def _get_mailbox_client(self) -> imaplib.IMAP4:
        client = _Client(self._server, self._connection, self._max_bytes)
        try:
            self._secure(client)
        except BaseException:
            _close(client)
            raise
        return client

    def _secure(self, client: imaplib.IMAP4) -> None:
        server, connection = self._server, self._connection
        secure = server.mode == "tls"
        if server.mode == "starttls":
            if "STARTTLS" in client.capabilities:
                client.starttls(connection.tls)
                secure = True
            elif not server.may_be_plain(connection):
                raise server.no_starttls()
        server.check_login(connection, secure=secure)

    def abilities(self) -> None:
        """Ask what the server can do for who has logged in: before that, it may say less."""
        _, answer = _ok(self.client.capability())
        self.client.capabilities = tuple(answer[-1].decode("ascii", "replace").upper().split())

    def search(self, criteria: Mapping[str, Any]) -> list[str]:
        """Uids of the messages that match, ascending."""
        query = str(AND(**criteria)) if criteria else "ALL"
        found = self.uids(query, None if query.isascii() else "UTF-8")
        return sorted((uid for uid in found if uid.isascii() and uid.isdecimal()), key=int)

    def sizes(self, uids: Sequence[str]) -> dict[str, int]:
        """Size by uid, of those that are still there."""
        _, answer = _ok(self.client.uid("FETCH", ",".join(uids), "(UID RFC822.SIZE)"))
        found = {}
        for line in answer:
            uid, size = (pattern.search(line) if isinstance(line, bytes) else None for pattern in (_UID, _SIZE))
            if uid and size:
                found[uid[1].decode()] = int(size[1])
        return found

    def load(self, uid: str) -> _Raw | None:
        """One message, which is not marked by that; None when it has gone."""
        found: list[Any] = [*self.fetch(uid_list=[uid], mark_seen=False)]
        return found[0] if found and found[0].content else None

    def mark(self, uids: Sequence[str], *, seen: bool | None, flagged: bool | None) -> None:
        for flag, value in ((_SEEN, seen), (_FLAGGED, flagged)):
            if value is not None:
                self._store(uids, flag, value=value)

    def remove(self, uids: Sequence[str]) -> None:
        """Delete these, and no others that somebody else has marked for it, where the server can (RFC 4315)."""
        self._store(uids, _DELETED, value=True)
        if "UIDPLUS" in self.client.capabilities:
            _ok(self.client.uid("EXPUNGE", ",".join(uids)))
        else:
            _ok(self.client.expunge())

    def put_into(self, uids: Sequence[str], folder: str) -> None:
        if "MOVE" in self.client.capabilities:
            _ok(self.client.uid("MOVE", ",".join(uids), encode_folder(folder).decode()))
        else:
            _ok(self.client.uid("COPY", ",".join(uids), encode_folder(folder).decode()))
            self.remove(uids)

    def _store(self, uids: Sequence[str], flag: str, *, value: bool) -> None:
        # Not by the library's `flag`, which expunges what others have marked as deleted.
        _ok(self.client.uid("STORE", ",".join(uids), f"{'+' if value else '-'}FLAGS.SILENT", f"({flag})"))


@contextmanager
def opened(
    dialer: Dialer,
    server: ImapServer,
    folder: str,
    *,
    seconds: float,
    allow: Sequence[Sequence[str]],
    max_bytes: int,
    read_only: bool,
) -> Iterator[Mailbox]:
    """A mailbox with `folder` selected.

    Raises `StepError`: `ConnectFailed`, `ImapAuth`, `ImapRejected`; and what the dialer and its connections raise.
    """
    connection = dialer.connect(*server.place, seconds, allow, max_bytes)
    box: Mailbox | None = None
    try:
        try:
            box = Mailbox(server, connection, max_bytes)
        except imaplib.IMAP4.error:
            raise connect_failed(server, "no IMAP, or it hung up") from None
        _log_in(box, server)
        box.abilities()
        box.folder.set(folder, readonly=read_only)
        yield box
        with suppress(OSError, imaplib.IMAP4.error, ImapToolsError, StepError):  # all is done
            box.logout()
    except UnexpectedCommandStatusError as error:
        _refused(server, _said(error.command_result))
    except imaplib.IMAP4.abort as error:
        raise connect_failed(server, f"it hung up: {printable(str(error))}") from None
    except imaplib.IMAP4.error as error:
        _refused(server, str(error))
    except OSError as error:
        raise broken(server, error) from error
    finally:
        if box is not None:
            _close(box.client)
        connection.socket.close()


def _log_in(box: Mailbox, server: ImapServer) -> None:
    """No text of a refusal is shown, but its code: a server can repeat in it what it was sent."""
    said = ""
    try:
        if server.username.isascii() and server.password.isascii():
            box.login(server.username, server.password, initial_folder=None)
        else:
            box.login_utf8(server.username, server.password, initial_folder=None)
    except imaplib.IMAP4.abort:
        raise connect_failed(server, "it hung up at the login") from None
    except UnexpectedCommandStatusError as error:
        said = _said(error.command_result)
    except imaplib.IMAP4.error as error:
        said = str(error)
    else:
        return
    raise StepError(
        f"{server.host} does not accept user name and password",
        code="ImapAuth",
        retryable=PASSING.search(said) is not None,
        hint="some providers want a password for applications",
    )


def _close(client: imaplib.IMAP4) -> None:
    with suppress(OSError):  # it is gone already
        client.shutdown()


def _ok(answer: tuple[str, Any]) -> tuple[str, Any]:
    if answer[0] != "OK":
        raise imaplib.IMAP4.error(_said(answer))
    return answer


def _said(answer: tuple[Any, ...]) -> str:
    return " ".join(printable(line) for line in answer[1] if isinstance(line, bytes | str))


def _refused(server: ImapServer, said: str) -> NoReturn:
    raise StepError(
        f"{server.host} refused: {printable(said)}",
        code="ImapRejected",
        retryable=PASSING.search(said) is not None,
    ) from None
