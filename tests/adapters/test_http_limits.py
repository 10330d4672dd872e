"""Limits of the guarded client: time and bytes, whatever a server does."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.errors import NodeTimeout, StepError, ValueTooLarge
from flowrunner.ports.http import HttpRequest, HttpResponse

from tests.adapters.http_clients import Listener, client, get, made
from tests.servers import Raw, Received, RecordingServer, Reply, redirect


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
    with Listener() as url, pytest.raises(NodeTimeout):
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
