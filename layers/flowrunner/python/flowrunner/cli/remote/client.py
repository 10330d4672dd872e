"""Requests to a server: with the token, tried again where that is safe, refusals as errors with an exit code.

What only reads is tried again when the connection is lost or the server is busy, and so is what carries an
`Idempotency-Key`. Anything else is sent again only after a 429, which says that nothing was done.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flowrunner import __version__
from flowrunner.cli.exits import ExitCode, RemoteError, escape
from flowrunner.cli.remote.profiles import Target, choose_target
from flowrunner.cli.remote.refusals import message_of, refusal
from flowrunner.errors import NotFound

if TYPE_CHECKING:
    from httpx2 import Response

TRIES = 4
PAUSES = (0.2, 0.8, 2.0)
"""Seconds before the second try and those after it, unless the server says."""
TOLD_PAUSE = 2
"""Seconds of waiting that people are told about."""
LONGEST_PAUSE = 30
"""A server that wants more than this is not waited for: people are told instead."""
BUSY = frozenset({429, 502, 503, 504})
ERRNO = re.compile(r"^\[Errno -?\d+\] ")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a request may take, and whether it is tried again."""

    connect: float = 10.0
    read: float = 90.0
    """More than the longest `?wait=`, and several heartbeats of a stream."""
    tries: int = TRIES


PATIENT = Patience()
ONCE = Patience(tries=1)
"""For an address that somebody has just typed."""
COMPLETION = Patience(connect=0.5, read=1.0, tries=1)
"""For the shell, where somebody waits for the next letter."""


class Client:
    """One server, as one user. `pause` waits between tries."""

    def __init__(
        self,
        server: str,
        authorization: str,
        patience: Patience = PATIENT,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        import httpx2

        self.server = server
        self.user: str | None = None
        """Who we are, as far as it is known here."""
        self.patience = patience
        self.pause = pause or _wait
        self.tell: Callable[[str], object] = _tell
        """Says on standard error why nothing happens for a while."""
        self._failures = (httpx2.RequestError, httpx2.InvalidURL)
        self._http = httpx2.Client(
            base_url=server,
            headers={"Authorization": authorization, "User-Agent": f"flowrunner/{__version__}"},
            timeout=httpx2.Timeout(patience.read, connect=patience.connect),
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, /, **query: Any) -> Any:
        """The answer to a GET; None among the query is left out. Raises `RemoteError`."""
        return _document(self.send("GET", path, query=query))

    def post(self, path: str, body: Any = None, /, **query: Any) -> Any:
        """The answer to a POST of JSON. Raises `RemoteError`."""
        return _document(self.send("POST", path, query=query, body=body))

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request, with `body` as JSON or `content` as it is. Raises `RemoteError`."""
        given = {key: value for key, value in (query or {}).items() if value is not None}
        sent = dict(headers or {})
        if body is not None:
            content = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
            sent["Content-Type"] = "application/json"
        repeatable = method == "GET" or "Idempotency-Key" in sent
        for number in range(self.patience.tries):
            last = number == self.patience.tries - 1
            try:
                response = self._http.request(method, path, params=given, content=content, headers=sent)
            except self._failures as error:
                if last or not repeatable:
                    raise self.unreachable(error, unknown=not repeatable) from None
                self.pause(PAUSES[number])
                continue
            if response.is_success:
                return response
            if last or not self.waits(response, number, repeatable=repeatable):
                raise refusal(response)
        raise AssertionError("the last try returns or raises")

    def waits(self, response: Response, number: int, *, repeatable: bool = True) -> bool:
        """Wait for a busy server, if a further try may help and the server does not ask for too much time."""
        status = response.status_code
        if status not in BUSY or not (repeatable or status == 429):
            return False
        asked = response.headers.get("retry-after", "")
        seconds = float(asked[:9]) if asked.isascii() and asked.isdigit() else PAUSES[min(number, len(PAUSES) - 1)]
        if seconds > LONGEST_PAUSE:
            return False
        if seconds >= TOLD_PAUSE:
            self.tell(f"{message_of(response)}; trying again in {seconds:.0f} s")
        self.pause(seconds)
        return True

    @contextmanager
    def stream(self, path: str, query: Mapping[str, Any], last_event_id: str | None) -> Iterator[Response]:
        """A stream of server-sent events, open while inside; the status may be any."""
        headers = {"Accept": "text/event-stream"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        given = {key: value for key, value in query.items() if value is not None}
        with self._http.stream("GET", path, params=given, headers=headers) as response:
            yield response

    def is_lost(self, error: BaseException) -> bool:
        """Whether the error means that the connection failed."""
        return isinstance(error, self._failures)

    def unreachable(self, error: BaseException, *, unknown: bool = False) -> RemoteError:
        """The error of a connection that failed."""
        reason = ERRNO.sub("", str(error)) or type(error).__name__
        hint = "is it running, and is this its address? see flowrunner profiles list"
        if "WRONG_VERSION_NUMBER" in reason:
            hint = "it does not speak https there"
        if unknown and type(error).__name__ not in ("ConnectError", "ConnectTimeout"):
            hint = "the answer was lost: look whether it was done before you try again"
        return RemoteError(f"{self.server} cannot be reached: {reason}", ExitCode.SERVER, hint=hint)


@contextmanager
def connect(profile: str | None, patience: Patience = PATIENT) -> Iterator[Client]:
    """A client for a profile, or for what the environment or the current profile says. Raises `UsageError`."""
    with connected(choose_target(os.environ, profile), patience) as client:
        yield client


@contextmanager
def connected(target: Target, patience: Patience = PATIENT) -> Iterator[Client]:
    """A client for a target."""
    if not target.token.isascii() or not target.token.isprintable():
        raise RemoteError("the token holds characters that no token has", ExitCode.USAGE, hint="log in again")
    client = Client(target.server, f"Bearer {target.token}", patience)
    client.user = target.user
    try:
        yield client
    finally:
        client.close()


def at(path: str, *parts: str) -> str:
    """A path with `{}` filled in. Raises `NotFound` for a part that could never be an id there."""
    for part in parts:
        if part in ("", ".", "..") or len(part) > 512:
            raise NotFound(f"there is nothing called {part[:64]!r}")
    return path.format(*(quote(part.encode("utf-8", "replace"), safe="") for part in parts))


def _document(response: Response) -> Any:
    if response.status_code == 204:
        return None
    try:
        return response.json()
    except ValueError:
        raise RemoteError("the server does not answer like a flowrunner server", ExitCode.SERVER) from None


def _tell(text: str) -> None:
    print(escape(text), file=sys.stderr)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)
