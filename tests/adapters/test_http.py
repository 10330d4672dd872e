"""The guarded client against real servers on loopback, which an opening lets through."""

from __future__ import annotations

import threading
from typing import Any

import httpcore
import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.errors import EgressDenied, ParamsInvalid, StepError
from flowrunner.ports.http import HttpRequest

from tests.adapters.http_clients import Listener, client, get, made, send_to
from tests.servers import Raw, RecordingServer, Reply


def test_sends_what_it_was_given_and_gives_back_the_answer() -> None:
    """Method, path, query, headers and body arrive; status, headers and body come back."""
    reply = Reply(201, b"made", (("X-One", "1"), ("X-Two", "a"), ("X-Two", "b")))
    with RecordingServer(lambda _: reply) as server:
        response = client().send(
            HttpRequest("PATCH", f"{server.url}/a?b=c", headers=(("X-Mine", "yes"),), content=b"body")
        )
    request = server.requests[0]
    assert (request.method, request.target, request.body) == ("PATCH", "/a?b=c", b"body")
    assert request.headers["x-mine"] == "yes"
    assert request.headers["content-length"] == "4"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert (response.status, response.content) == (201, b"made")
    assert (response.headers["x-one"], response.headers["x-two"]) == ("1", "a, b")
    assert response.url == f"{server.url}/a?b=c"
    assert response.elapsed > 0


def test_reuses_connections_and_keeps_no_cookies() -> None:
    """A second request goes over the pooled connection and carries nothing of the first one's session."""
    with RecordingServer(lambda _: Reply(headers=(("Set-Cookie", "session=other-account"),))) as server:
        one = client()
        for _ in range(3):
            one.send(HttpRequest("GET", server.url, headers=(("Cookie", "mine=1"),)))
        one.send(HttpRequest("GET", server.url))
    assert server.connections == 1
    assert [request.headers.get("cookie") for request in server.requests] == ["mine=1"] * 3 + [None]


def test_asks_the_environment_for_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve names itself, past the guard."""
    with RecordingServer() as trap, RecordingServer() as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, trap.url)
        assert get(server.url).status == 200
    assert trap.requests == []


def test_connects_to_the_checked_address_by_the_name() -> None:
    """The name stays in `Host` while the connection goes to the address that was checked."""
    with RecordingServer() as server:
        assert get(f"http://a.example:{server.port}/").status == 200
    assert server.requests[0].headers["host"] == f"a.example:{server.port}"


def test_rebinding_never_reaches_loopback() -> None:
    """1,000 requests to a name that is public when asked first and loopback after that: none arrives at the trap.

    The public address is one of 127.0.0.9's, opened for the test, at which nobody listens.
    """
    with RecordingServer() as trap:
        asked = iter(range(1_000_000))
        answers = (["127.0.0.9"], ["127.0.0.1"])

        def resolve(_host: str, _port: int, _seconds: float) -> list[str]:
            return answers[next(asked) % 2]

        one = made(Guard([f"127.0.0.9:{trap.port}"], resolve))
        outcomes: list[str] = []
        for _ in range(1_000):
            with pytest.raises(StepError) as caught:
                one.send(HttpRequest("GET", f"http://rebind.example:{trap.port}/", timeout=5))
            outcomes.append(caught.value.code)
    assert trap.connections == 0
    assert (outcomes.count("HttpConnect"), outcomes.count("EGRESS_DENIED")) == (500, 500)


def test_resolves_once_per_hop() -> None:
    """The lookup that was checked is the one that is used: there is no second one to differ."""
    asked: list[str] = []

    def resolve(host: str, _port: int, _seconds: float) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with RecordingServer() as server:
        made(Guard(["127.0.0.1"], resolve)).send(HttpRequest("GET", f"http://a.example:{server.port}/"))
    assert asked == ["a.example"]


def test_tries_the_other_addresses_of_a_name() -> None:
    """An address at which nobody listens does not keep a request from the next one."""
    with RecordingServer() as server:
        guard = Guard(["127.0.0.0/8"], lambda *_: ["127.0.0.9", "127.0.0.1"])
        assert made(guard).send(HttpRequest("GET", f"http://a.example:{server.port}/")).status == 200


class _Swallowing(httpcore.SyncBackend):
    """A network that swallows what goes to .9, and keeps how long each connection was waited for."""

    def __init__(self) -> None:
        self.waited: list[float | None] = []

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore.NetworkStream:
        self.waited.append(timeout)
        if host.endswith(".9"):
            raise httpcore.ConnectTimeout
        return super().connect_tcp(host, port, timeout, *args, **kwargs)


def test_an_address_that_swallows_packets_leaves_time_for_the_others() -> None:
    """Each address gets its share of the time that is left."""
    network = _Swallowing()
    with RecordingServer() as server:
        one = made(Guard(["127.0.0.0/8"], lambda *_: ["127.0.0.9", "127.0.1.9", "127.0.0.1"]))
        one._backend._inner = network
        assert one.send(HttpRequest("GET", f"http://a.example:{server.port}/", timeout=9)).status == 200
    for waited, share in zip(network.waited, (3.0, 4.5, 9.0), strict=True):
        assert waited is not None
        assert share - 1 < waited <= share


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ((("X-A", "b\r\nX-Injected: y"),), "X-A has the character"),
        ((("X-A", "b\n"),), "X-A has the character"),
        ((("X-A", "b\0"),), "X-A has the character"),
        ((("X-A", "ü"),), "X-A has the character"),
        ((("X-A", "\x1b[2J"),), "X-A has the character"),
        ((("X-A\r\nX-B", "c"),), "no header name"),
        ((("X A", "c"),), "no header name"),
        ((("", "c"),), "no header name"),
        ((("X-Ä", "c"),), "no header name"),
        ((("X-A:", "c"),), "no header name"),
        ((("Transfer-Encoding", "chunked"), ("Content-Length", "5")), "set by the client"),
        ((("Content-Length", "5"),), "set by the client"),
        ((("HOST", "internal"),), "set by the client"),
        ((("Connection", "upgrade"),), "set by the client"),
        ((("Upgrade", "h2c"),), "set by the client"),
    ],
)
def test_no_header_breaks_the_message(headers: tuple[tuple[str, str], ...], says: str) -> None:
    """Line ends, framing headers and another `Host` are refused before anything is sent; no value is shown."""
    with RecordingServer() as server:
        with pytest.raises(ParamsInvalid, match=says) as caught:
            send_to(server, *headers)
        assert server.connections == 0
    assert "Injected: y" not in str(caught.value)


def test_a_secret_with_a_line_end_gets_a_hint() -> None:
    """The most common cause of a bad header value is a secret that was stored with its line end."""
    with RecordingServer() as server, pytest.raises(ParamsInvalid) as caught:
        send_to(server, ("Authorization", "Bearer s3cret\n"))
    assert "line end behind the secret" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "GET / HTTP/1.1\r\nX: y", "", "GÉT"])
def test_methods_that_are_not_sent(method: str) -> None:
    """Tunnels, echoes of headers and injected request lines are refused."""
    with RecordingServer() as server:
        with pytest.raises(ParamsInvalid, match="cannot be sent"):
            send_to(server, method=method)
        assert server.connections == 0


def test_given_headers_replace_the_clients_own() -> None:
    """`Accept` and `User-Agent` are sent once, as the author wants them; a POST without body says length 0."""
    with RecordingServer() as server:
        send_to(server, ("accept", "text/html"), ("user-AGENT", "mine"), method="POST")
    headers = server.requests[0].headers
    assert (headers["accept"], headers["user-agent"], headers["content-length"]) == ("text/html", "mine", "0")


@pytest.mark.parametrize(
    "pieces",
    [[], [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"], [b"SSH-2.0-OpenSSH_9.6\r\n"], [b"\0" * 100]],
    ids=["closed", "cut off", "another protocol", "rubbish"],
)
def test_no_answer_may_be_tried_again(pieces: list[bytes]) -> None:
    """A connection that breaks before the answer is whole is a retryable `HttpConnect`."""
    with (
        RecordingServer(lambda _: Raw(pieces)) as server,
        pytest.raises(StepError, match="no answer") as caught,
    ):
        get(f"{server.url}/hunter2?key=hunter2")
    assert (caught.value.code, caught.value.retryable) == ("HttpConnect", True)
    assert "hunter2" not in str(caught.value)


def test_a_refused_connection_may_be_tried_again() -> None:
    """Nobody listens: `HttpConnect`, retryable."""
    with Listener() as url:
        pass
    with pytest.raises(StepError, match="no answer") as caught:
        get(url)
    assert (caught.value.code, caught.value.retryable) == ("HttpConnect", True)


def test_a_denied_address_gets_no_packet() -> None:
    """Without an opening the trap on loopback sees no connection."""
    with RecordingServer() as trap:
        for url in (trap.url, f"http://localhost:{trap.port}/", f"http://a.example:{trap.port}/"):
            with pytest.raises(EgressDenied):
                made(Guard(resolver=lambda *_: ["127.0.0.1"])).send(HttpRequest("GET", url))
        assert trap.connections == 0


def test_several_threads_share_a_client() -> None:
    """Each thread's request goes to its own target with its own deadline."""
    with RecordingServer(lambda request: Reply(body=request.path.encode())) as server:
        one = client()
        results: dict[int, bytes] = {}

        def work(number: int) -> None:
            for _ in range(20):
                url = f"http://{'ab'[number % 2]}.example:{server.port}/{number}"
                results[number] = one.send(HttpRequest("GET", url)).content
                assert results[number] == f"/{number}".encode()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert results == {number: f"/{number}".encode() for number in range(8)}
    assert {request.headers["host"].split(".")[0] for request in server.requests if request.path == "/1"} == {"b"}
