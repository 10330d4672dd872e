"""Every egress and ssrf entry of the shared attack corpora, through the real guard and client.

Public addresses cannot be reached from a test, so below the guard there is a network that notes the address which
was to be reached and leads every connection to a server on loopback; TLS is left out there (test_http.py has it).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpcore
import pytest
from flowrunner.adapters.dialer import GuardedDialer
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError, ValueTooLarge
from flowrunner.nodes.email_fetch import EmailFetchNode
from flowrunner.nodes.email_send import EmailSendNode
from flowrunner.nodes.postgres_query import PostgresQueryNode
from flowrunner.ports.http import HttpRequest

from tests.attacks import attacks, needs_corpus
from tests.nodes.context import context
from tests.servers import RecordingServer, Reply, Route, ok, redirect

pytestmark = needs_corpus

PUBLIC = "93.184.216.34"


class _Plain(httpcore.NetworkStream):
    """A connection whose TLS is left out."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, timeout)

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return self


@dataclass
class Network(httpcore.SyncBackend):
    """Leads every connection to `port` on loopback and notes where it was to go."""

    port: int
    reached: list[str] = field(default_factory=list)

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        self.reached.append(host)
        return _Plain(super().connect_tcp("127.0.0.1", self.port, *args, **kwargs))


@dataclass
class Try:
    """A client with a scripted resolver over such a network. The last answer for a name holds for ever."""

    server: RecordingServer
    dns: dict[str, list[list[str]]]

    def __post_init__(self) -> None:
        self.network = Network(self.server.port)
        self.guard = Guard(resolver=self._resolve)
        self.client = GuardedClient(self.guard)
        self.client._backend._inner = self.network

    def _resolve(self, host: str, _port: int, _seconds: float) -> list[str]:
        answers = self.dns.get(host)
        if answers is None:
            raise OSError(f"the entry has no address for {host}")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def get(self, url: str, headers: dict[str, str] | None = None, timeout: float = 10.0) -> int:
        request = HttpRequest("GET", url, tuple((headers or {}).items()), timeout=timeout, max_redirects=5)
        return self.client.send(request).status


@pytest.fixture
def trying() -> Iterator[Callable[..., Try]]:
    """Makes a `Try` with a running server."""
    made: list[Try] = []

    def make(route: Route = ok, dns: dict[str, list[list[str]]] | None = None) -> Try:
        server = RecordingServer(route)
        server.__enter__()
        made.append(Try(server, dns or {}))
        return made[-1]

    yield make
    for one in made:
        one.client.close()
        one.server.__exit__(None, None, None)


def _chain(targets: list[str]) -> Route:
    left = iter(targets)
    return lambda request: redirect(to) if (to := next(left, None)) is not None else ok(request)


def _drip() -> Iterator[bytes]:
    while True:
        yield b"x"


def _big(size: int) -> Iterator[bytes]:
    return (bytes(65536) for _ in range(0, size, 65536))


@pytest.mark.parametrize("entry", attacks("corpus.json", "ssrf"), ids=lambda entry: entry["id"])
def test_ssrf(entry: dict[str, Any], trying: Callable[..., Try]) -> None:
    """Blocked entries open no connection to what they are about; allowed ones reach the checked address."""
    given, dns = entry["input"], entry["input"].get("dns")
    match entry["expect"]:
        case "allow":
            one = trying(ok, dns)
            assert one.get(given["url"]) == 200
            assert one.network.reached[0] in (PUBLIC, "2606:2800:220:1:248:1893:25c8:1946")
        case "block" | "block:port":
            one = trying(ok, dns)
            with pytest.raises(EgressDenied):
                one.get(given["url"])
            assert one.network.reached == []
        case "block:redirect" | "block:downgrade_or_header_stripped":
            one = trying(_chain(given["redirects"]), dns)
            with pytest.raises(EgressDenied, match="redirects"):
                one.get(given["url"], given.get("headers"))
            assert (one.network.reached, len(one.server.requests)) == ([PUBLIC], 1)
        case "error:too_many_redirects":
            one = trying(_chain(given["redirects"]), dns)
            with pytest.raises(StepError) as caught:
                one.get(given["url"])
            assert caught.value.code == "TooManyRedirects"
        case "block:header":
            one = trying(ok, dns)
            with pytest.raises(ParamsInvalid):
                one.get(given["url"], given["headers"])
            assert one.network.reached == []
        case "error:timeout":
            with pytest.raises(NodeTimeout):
                trying(lambda _: Reply(chunks=_drip(), pause=0.05), dns).get(given["url"], timeout=0.3)
        case "error:response_too_large":
            with pytest.raises(ValueTooLarge):
                trying(lambda _: Reply(chunks=_big(given["response"]["body_bytes"])), dns).get(given["url"])
        case other:
            pytest.fail(f"the corpus expects {other!r}, which this test does not know")


def _redirected(trying: Callable[..., Try]) -> None:
    one = trying(_chain(["http://169.254.169.254/"]), {"ok.example": [[PUBLIC]]})
    with pytest.raises(EgressDenied):
        one.get("http://ok.example/")
    assert one.network.reached == [PUBLIC]


def _rebound(trying: Callable[..., Try]) -> None:
    one = trying(ok, {"rebind.example": [[PUBLIC], ["127.0.0.1"]]})
    assert one.get("http://rebind.example/") == 200
    with pytest.raises(EgressDenied):
        one.get("http://rebind.example/")
    assert one.network.reached == [PUBLIC]


def _two_addresses(trying: Callable[..., Try]) -> None:
    one = trying(ok, {"two.example": [[PUBLIC, "10.0.0.5"]]})
    with pytest.raises(EgressDenied):
        one.get("http://two.example/")
    assert one.network.reached == []


def _other_protocols(trying: Callable[..., Try]) -> None:
    one = trying(ok, {"localhost": [["127.0.0.1"]]})
    asked = {"server": {"host": "127.0.0.1", "user": "a"}, "sql": "SELECT 1"}
    with pytest.raises(EgressDenied):
        PostgresQueryNode().execute(context(PostgresQueryNode(), asked, dialer=GuardedDialer(one.guard)))
    server = {"host": "127.0.0.1", "port": 25}
    given = {"server": server, "from": "a@x.example", "to": "b@x.example", "text": "x"}
    with pytest.raises(EgressDenied):
        EmailSendNode().execute(context(EmailSendNode(), given, dialer=GuardedDialer(one.guard)))
    server = {"host": "localhost", "port": 143, "username": "a", "password": "b"}
    with pytest.raises(EgressDenied):
        EmailFetchNode().execute(context(EmailFetchNode(), {"server": server}, dialer=GuardedDialer(one.guard)))
    for url in ("http://localhost:11434", "http://[::1]/"):
        with pytest.raises(EgressDenied):
            one.get(url)
    assert one.network.reached == []


def _unix_socket(trying: Callable[..., Try]) -> None:
    with pytest.raises(EgressDenied, match="Unix socket"):
        trying().guard.check_host("/var/run/postgresql", 5432)
    asked = {"server": {"host": "/var/run/postgresql", "user": "a"}, "sql": "SELECT 1"}
    with pytest.raises(EgressDenied, match="Unix socket"):
        PostgresQueryNode().execute(context(PostgresQueryNode(), asked, dialer=GuardedDialer(trying().guard)))


SPECIAL = {
    "egress-33": _redirected,
    "egress-34": _rebound,
    "egress-35": _two_addresses,
    "egress-36": _other_protocols,
    "egress-37": _unix_socket,
}
"""Entries whose input is words."""


@pytest.mark.parametrize("entry", attacks("egress.json"), ids=lambda entry: entry["id"])
def test_egress(entry: dict[str, Any], trying: Callable[..., Try]) -> None:
    """Each URL is denied before any packet leaves."""
    if entry["id"] in SPECIAL:
        SPECIAL[entry["id"]](trying)
        return
    url = entry["input"].partition(" ")[0]
    assert "://" in url, "an entry in words needs a function in SPECIAL"
    one = trying(ok, {"127.0.0.1.nip.io": [["127.0.0.1"]], "localhost": [["127.0.0.1"]]})
    with pytest.raises(EgressDenied):
        one.get(url)
    assert one.network.reached == []
