"""The guarded client against real servers on loopback, which an opening lets through."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore
import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError, ValueTooLarge
from flowrunner.ports.http import HttpRequest, HttpResponse

from tests.servers import Raw, Received, RecordingServer, Reply, redirect

NAMES = {"a.example": "127.0.0.1", "b.example": "127.0.0.1", "two.example": "127.0.0.9"}


_made: list[GuardedClient] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    """Close the clients of a test behind it."""
    yield
    while _made:
        _made.pop().close()


def made(guard: Guard, trust: ssl.SSLContext | None = None) -> GuardedClient:
    """A client that is closed after the test."""
    _made.append(GuardedClient(guard, trust))
    return _made[-1]


def client() -> GuardedClient:
    """A client for which loopback is open, and names of `NAMES` lead there."""
    return made(Guard(["127.0.0.0/8"], lambda host, _port, _seconds: [NAMES[host]]))


def get(url: str, *, max_redirects: int = 0, timeout: float = 10.0, max_bytes: int = 1 << 25) -> HttpResponse:
    """One GET by a client of its own."""
    return client().send(HttpRequest("GET", url, timeout=timeout, max_bytes=max_bytes, max_redirects=max_redirects))


def send_to(
    server: RecordingServer, *headers: tuple[str, str], method: str = "GET", content: bytes | None = None
) -> None:
    client().send(HttpRequest(method, server.url, headers=headers, content=content))


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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_redirects_keep_or_change_the_method(status: int, method: str) -> None:
    """303 becomes GET, 301 and 302 turn POST into GET, 307 and 308 keep method and body (RFC 9110, 15.4)."""
    content = b"body" if method in ("POST", "PUT") else None
    with RecordingServer(lambda request: redirect("/there?x=1", status) if request.path == "/" else Reply()) as server:
        response = client().send(
            HttpRequest(method, server.url, (("Content-Type", "text/plain"),), content, max_redirects=2)
        )
    there = server.requests[1]
    becomes_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    assert there.method == ("GET" if becomes_get else method)
    assert there.body == (b"" if becomes_get or content is None else b"body")
    assert ("content-type" in there.headers) is not becomes_get
    assert response.url == f"{server.url}/there?x=1"


def test_a_redirect_is_an_answer_when_none_may_be_followed() -> None:
    """With no redirects allowed the 302 itself comes back, with its body."""
    reply = Reply(302, b"moved", (("Location", "http://169.254.169.254/"),))
    with RecordingServer(lambda _: reply) as server:
        response = get(server.url)
    assert (response.status, response.content) == (302, b"moved")


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[fd00:ec2::254]/",
        "http://0x7f000001/",
        "http://user@example.com/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "javascript:alert(1)",
        "http://[bad",
        "http://\\\\169.254.169.254/",
    ],
)
def test_a_redirect_to_a_denied_place_is_denied(location: str) -> None:
    """Each hop is checked anew, and the first answer is not taken for success."""
    with (
        RecordingServer(lambda _: redirect(location)) as server,
        pytest.raises(EgressDenied, match="redirects"),
    ):
        get(server.url, max_redirects=5)
    assert len(server.requests) == 1


def test_the_allow_list_holds_on_every_hop() -> None:
    """A flow that may reach a.example only is not led to b.example."""
    with RecordingServer() as server:
        server.route = lambda _: redirect(f"http://b.example:{server.port}/")
        with pytest.raises(EgressDenied, match=r"egress\.allow has only a\.example"):
            client().send(
                HttpRequest("GET", f"http://a.example:{server.port}/", max_redirects=5, allow=[["a.example"]])
            )
    assert len(server.requests) == 1


def test_redirects_have_an_end() -> None:
    """A loop ends after the allowed number of redirects."""
    with (
        RecordingServer(lambda _: redirect("/")) as server,
        pytest.raises(StepError, match="after 5") as caught,
    ):
        get(server.url, max_redirects=5)
    assert caught.value.code == "TooManyRedirects"
    assert not caught.value.retryable
    assert len(server.requests) == 6


def test_a_location_with_odd_characters_is_encoded() -> None:
    """Servers send spaces and UTF-8 in `Location`; they are percent-encoded as browsers do."""
    route = lambda request: redirect("/a b?é") if request.path == "/" else Reply()  # noqa: E731  # a one-line route
    with RecordingServer(route) as server:
        get(server.url, max_redirects=1)
    assert server.requests[1].target.startswith("/a%20b?%")


def _credentials(request: Received) -> dict[str, str]:
    kept = ("authorization", "cookie", "x-api-key", "x-trace")
    return {name: value for name, value in request.headers.items() if name in kept}


@pytest.mark.parametrize(
    ("host", "same"),
    [("a.example", True), ("b.example", False), ("A.EXAMPLE.", True), ("a.example:other", False)],
)
def test_credentials_stay_with_their_origin(host: str, same: bool) -> None:
    """Standard and named credentials are dropped on a redirect to another host or port; other headers go along."""
    with RecordingServer() as server, RecordingServer() as other:
        port = other.port if host.endswith(":other") else server.port
        server.route = lambda request: (
            redirect(f"http://{host.removesuffix(':other')}:{port}/there") if request.path == "/" else Reply()
        )
        headers = (
            ("Authorization", "s3cret"),
            ("Cookie", "s3cret"),
            ("X-Api-Key", "s3cret"),
            ("X-Trace", "1"),
        )
        client().send(
            HttpRequest(
                "GET",
                f"http://a.example:{server.port}/",
                headers,
                max_redirects=1,
                sensitive_headers=frozenset({"x-api-key"}),
            )
        )
        last = (server.requests + other.requests)[-1]
    assert last.path == "/there"
    assert _credentials(last) == ({name.lower(): value for name, value in headers} if same else {"x-trace": "1"})


def test_credentials_do_not_come_back() -> None:
    """What was dropped on the way to another origin is not sent again on the way back."""
    with RecordingServer() as server:
        there, back = f"http://b.example:{server.port}/b", f"http://a.example:{server.port}/end"
        routes = {"/": there, "/b": back}
        server.route = lambda request: redirect(routes[request.path]) if request.path in routes else Reply()
        client().send(
            HttpRequest("GET", f"http://a.example:{server.port}/", (("Authorization", "s3cret"),), max_redirects=5)
        )
    assert [request.headers.get("authorization") for request in server.requests] == ["s3cret", None, None]


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


class _Listener:
    """A socket that accepts connections into its backlog and never answers."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _forever(piece: bytes) -> Iterator[bytes]:
    """For longer than any test waits, but not so that a client without a limit would hang the suite."""
    return iter([piece] * 200)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(chunks=_forever(b"x"), pause=0.05),
        Raw(_forever(b"H"), pause=0.05),
        Raw(_forever(b"HTTP/1.1 103 Early Hints\r\n\r\n"), pause=0.05),
        Raw(iter([b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n"] * 200]), pause=0.05),
    ],
    ids=["body", "status line", "early hints", "headers"],
)
def test_a_server_that_drips_runs_into_the_time_limit(reply: Reply | Raw) -> None:
    """A byte now and then keeps every single read short, but not the exchange."""
    with RecordingServer(lambda _: reply) as server:
        started = time.monotonic()
        with pytest.raises(NodeTimeout, match=r"did not answer GET in full within 0\.4 s"):
            get(server.url, timeout=0.4)
        assert 0.35 < time.monotonic() - started < 60  # on a machine that does other things as well


def test_a_server_that_says_nothing_runs_into_the_time_limit() -> None:
    """A connection that is taken and never answered is given up."""
    with _Listener() as url, pytest.raises(NodeTimeout):
        get(url, timeout=0.2)


def test_redirects_share_one_time_limit() -> None:
    """A chain of slow redirects does not get the time anew with each hop."""
    with RecordingServer() as server:

        def slow(_request: Received) -> Reply:
            server.stopping.wait(0.15)
            return redirect("/")

        server.route = slow
        with pytest.raises(NodeTimeout):  # twenty hops that each had the time anew would be too many redirects
            get(server.url, timeout=0.4, max_redirects=20)


def test_a_server_that_takes_the_body_slowly_runs_into_the_time_limit() -> None:
    """Taking a little of a large body now and then does not start the time anew."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def sip() -> None:
        connection, _ = listener.accept()
        with connection:
            while not stop.wait(0.2):
                connection.recv(65536)

    thread = threading.Thread(target=sip, daemon=True)
    thread.start()
    started = time.monotonic()
    request = HttpRequest(
        "POST", f"http://127.0.0.1:{listener.getsockname()[1]}/", content=bytes(60_000_000), timeout=0.5
    )
    with pytest.raises(NodeTimeout):
        client().send(request)
    assert time.monotonic() - started < 60  # all of it takes three minutes
    stop.set()
    thread.join(60)
    listener.close()


def test_no_time_at_all_is_a_timeout() -> None:
    """A step whose time is over does not connect."""
    with RecordingServer() as server:
        with pytest.raises(NodeTimeout):
            get(server.url, timeout=0.0)
        assert server.requests == []


def test_the_lookup_gets_no_more_than_the_time_that_is_left() -> None:
    """The limit of the request bounds the lookup as well."""
    given: list[float] = []

    def resolve(_host: str, _port: int, seconds: float) -> list[str]:
        given.append(seconds)
        raise TimeoutError

    with pytest.raises(StepError, match="does not resolve in time"):
        made(Guard(resolver=resolve)).send(HttpRequest("GET", "http://a.example/", timeout=0.5))
    assert 0 < given[0] <= 0.5


@pytest.mark.parametrize("reply", [Reply(body=b"x" * 1001), Reply(chunks=[b"x" * 500, b"x" * 501])])
def test_a_body_over_the_limit_is_given_up(reply: Reply) -> None:
    """By its stated length at once, and otherwise when the limit is passed."""
    with RecordingServer(lambda _: reply) as server:
        with pytest.raises(ValueTooLarge, match="more than 1,000 bytes"):
            get(server.url, max_bytes=1000)
        assert get(server.url, max_bytes=1001).content == b"x" * 1001


def test_an_endless_body_is_given_up() -> None:
    """A body without an end costs no more than the limit."""
    with (
        RecordingServer(lambda _: Reply(chunks=_forever(b"x" * 65536), pause=0.001)) as server,
        pytest.raises(ValueTooLarge),
    ):
        get(server.url, max_bytes=1_000_000)


def _packed(content: bytes) -> Reply:
    return Reply(body=gzip.compress(content, mtime=0), headers=(("Content-Encoding", "gzip"),))


def test_unpacks_gzip() -> None:
    """A packed body arrives as it was."""
    text = b"".join(b"%d," % number for number in range(100_000))
    with RecordingServer(lambda _: _packed(text)) as server:
        assert get(server.url).content == text
    assert server.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(("size", "limit"), [(20_000_000, 1 << 25), (2_000_000, 1_000_000)])
def test_a_gzip_bomb_is_given_up(size: int, limit: int) -> None:
    """A body that unpacks to too many times its size, or past the limit, is not unpacked to the end."""
    with RecordingServer(lambda _: _packed(bytes(size))) as server, pytest.raises(ValueTooLarge):
        get(server.url, max_bytes=limit)


def test_a_gzip_bomb_takes_no_memory() -> None:
    """One packed chunk is not unpacked past the limit: 50 MB of zeros fit into 50 KB."""
    bomb = _packed(bytes(50_000_000))
    with RecordingServer(lambda _: bomb) as server:
        tracemalloc.start()
        with pytest.raises(ValueTooLarge):
            get(server.url, max_bytes=100_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    ("body", "encoding", "says"),
    [
        (b"no gzip", "gzip", "broken gzip"),
        (gzip.compress(b"hello" * 100, mtime=0)[:-9], "gzip", "cut off"),
        (gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "gzip, gzip", "in the encoding 'gzip, gzip'"),
        (zlib.compress(b"x"), "deflate", "in the encoding 'deflate'"),
        (b"x", "br", "in the encoding 'br'"),
    ],
)
def test_bodies_that_cannot_be_unpacked(body: bytes, encoding: str, says: str) -> None:
    """Broken, cut-off and unknown encodings are errors of the answer."""
    reply = Reply(body=body, headers=(("Content-Encoding", encoding),))
    with RecordingServer(lambda _: reply) as server, pytest.raises(StepError, match=says) as caught:
        get(server.url)
    assert caught.value.code == "InvalidResponse"


def test_an_empty_body_may_say_gzip() -> None:
    """Answers to HEAD, and empty ones, carry the header without a body."""
    with RecordingServer(lambda _: Reply(headers=(("Content-Encoding", "gzip"),))) as server:
        assert get(server.url).content == b""
        assert client().send(HttpRequest("HEAD", server.url)).content == b""


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
    with _Listener() as url:
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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for a.example, with its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += [
        "-subj",
        "/CN=a.example",
        "-addext",
        "subjectAltName=DNS:a.example",
        "-keyout",
        "-",
        "-out",
        "-",
    ]
    try:
        made = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no openssl to make a certificate with: {error}")
    path.write_bytes(made.stdout)
    return path


def _tls_client(certificate: Path) -> GuardedClient:
    trust = ssl.create_default_context(cafile=str(certificate))
    return made(Guard(["127.0.0.0/8"], lambda host, *_: [NAMES[host]]), trust)


def _tls_server(certificate: Path, names: list[str | None] | None = None) -> RecordingServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if names is not None:
        context.sni_callback = lambda _socket, name, _context: names.append(name)
    return RecordingServer(tls=context)


def test_tls_goes_by_the_name(certificate: Path) -> None:
    """The connection goes to an address, while SNI and the certificate's check are by name."""
    names: list[str | None] = []
    with _tls_server(certificate, names) as server:
        response = _tls_client(certificate).send(HttpRequest("GET", f"https://a.example:{server.port}/"))
    assert response.content == b"ok"
    assert names == ["a.example"]


def test_a_certificate_of_another_name_is_not_tried_again(certificate: Path) -> None:
    """A name that the certificate does not have, or a certificate nobody vouches for, fails for good."""
    with _tls_server(certificate) as server:
        for one, host in ((_tls_client(certificate), "b.example"), (client(), "a.example")):
            with pytest.raises(StepError, match="its certificate is not valid") as caught:
                one.send(HttpRequest("GET", f"https://{host}:{server.port}/"))
            assert (caught.value.code, caught.value.retryable) == ("HttpConnect", False)
    assert server.requests == []


def test_https_does_not_redirect_to_http(certificate: Path) -> None:
    """A redirect to plain text is denied, so neither header nor body is sent in the clear."""
    with RecordingServer() as plain, _tls_server(certificate) as server:
        server.route = lambda _: redirect(f"http://a.example:{plain.port}/")
        with pytest.raises(EgressDenied, match="from https to http"):
            _tls_client(certificate).send(
                HttpRequest("GET", f"https://a.example:{server.port}/", (("Authorization", "x"),), max_redirects=3)
            )
        assert plain.requests == []


def cut(server: RecordingServer, limit: int, timeout: float = 10.0) -> HttpResponse:
    return client().send(HttpRequest("POST", server.url, max_bytes=limit, timeout=timeout, cut=True))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(202, b"x" * 5_000), b"x" * 1_000),
        (Reply(202, b"short"), b"short"),
        (Reply(202, gzip.compress(b"y" * 5_000_000), (("Content-Encoding", "gzip"),)), b"y" * 1_000),
        (Reply(202, b"no gzip at all", (("Content-Encoding", "gzip"),)), b""),
        (Reply(202, b"odd", (("Content-Encoding", "br"),)), b"odd"),
        (Raw([b"HTTP/1.1 202 Accepted\r\nContent-Length: 9999\r\n\r\nbroken"]), b"broken"),
    ],
)
def test_a_cut_body_never_hides_the_status(reply: Reply | Raw, expected: bytes) -> None:
    """Whoever wants the beginning only gets the status, however long, broken or odd the body is."""
    with RecordingServer(lambda _: reply) as server:
        answer = cut(server, 1_000)
    assert (answer.status, answer.content) == (202, expected)


def test_a_cut_body_that_hangs_is_left_when_the_time_is_over() -> None:
    """What has come until then is the body, and the status stands."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    with RecordingServer(lambda _: Raw([head, b"never"], pause=60)) as server:
        answer = cut(server, 1_000, timeout=2.0)
    assert (answer.status, answer.content) == (200, b"half")
