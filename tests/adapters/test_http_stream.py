"""The guarded client's streams: bodies as they come, given up in time, and within the same rules as whole ones."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.bootstrap import LazyHttp
from flowrunner.engine.own_calls import OwnCalls
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError, ValueTooLarge
from flowrunner.ports.http import DEPTH_HEADER, HttpRequest
from flowrunner.testing import NoHttp

from tests.servers import Raw, RecordingServer, Reply, redirect


@pytest.fixture
def client() -> Iterator[GuardedClient]:
    """The real client, with loopback opened."""
    one = GuardedClient(Guard(["127.0.0.1"]))
    yield one
    one.close()


def test_pieces_come_as_they_are_sent(client: GuardedClient) -> None:
    """The second piece is sent only when the first was read."""
    read: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        yield b"one"
        while not read:
            yield b""
        yield b"two"

    with (
        RecordingServer(lambda _: Reply(chunks=pieces(), pause=0.01)) as server,
        client.stream(HttpRequest("GET", server.url)) as stream,
    ):
        assert (stream.status, stream.url) == (200, server.url + "/")
        for piece in stream.pieces:
            read.append(piece)  # noqa: PERF402  # the server looks at it while the loop runs
    assert read == [b"one", b"two"]


def test_what_is_compressed_is_unpacked(client: GuardedClient) -> None:
    """Each piece as far as it goes."""
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    chunks = [packer.compress(b"one ") + packer.flush(zlib.Z_SYNC_FLUSH), packer.compress(b"two") + packer.flush()]
    reply = Reply(headers=(("Content-Encoding", "gzip"),), chunks=chunks, pause=0.01)
    with RecordingServer(lambda _: reply) as server, client.stream(HttpRequest("GET", server.url)) as stream:
        assert b"".join(stream.pieces) == b"one two"


def test_too_much_is_refused(client: GuardedClient) -> None:
    """Also when it was packed to be small."""
    bomb = Reply(200, gzip.compress(bytes(1 << 20)), (("Content-Encoding", "gzip"),))
    request = "GET"
    with RecordingServer(lambda _: bomb) as server:  # noqa: SIM117  # the stream is entered before it is read
        with client.stream(HttpRequest(request, server.url, max_bytes=1000)) as stream:
            with pytest.raises(ValueTooLarge):
                list(stream.pieces)


def test_a_redirect_is_an_answer(client: GuardedClient) -> None:
    """Nobody follows it."""
    with (
        RecordingServer(lambda _: redirect("http://169.254.169.254/")) as server,
        client.stream(HttpRequest("GET", server.url)) as stream,
    ):
        assert stream.status == 302


def test_what_is_forbidden_is_not_reached(client: GuardedClient) -> None:
    """The guard is asked as for any request, and the frame of the message is checked."""
    with pytest.raises(EgressDenied), client.stream(HttpRequest("GET", "http://10.0.0.1/")):
        pass
    with pytest.raises(ParamsInvalid), client.stream(HttpRequest("GET", "http://x.example/", (("Host", "y"),))):
        pass


@pytest.mark.parametrize("asked", [1, 3])
def test_it_is_given_up_when_nobody_wants_it(client: GuardedClient, asked: int) -> None:
    """However slow the other side is: `stop` is asked while nothing comes."""
    answers = iter([False] * asked)
    request = HttpRequest("GET", "", timeout=600.0, stop=lambda: next(answers, True))
    endless = Reply(chunks=iter(lambda: b"x", b""), pause=30.0)
    with RecordingServer(lambda _: endless) as server:
        with pytest.raises(NodeTimeout):  # noqa: SIM117  # raised by the head or by a piece
            with client.stream(HttpRequest("GET", server.url, timeout=600.0, stop=request.stop)) as stream:
                list(stream.pieces)
        again = iter([False] * asked)
        with pytest.raises(NodeTimeout):
            client.send(HttpRequest("GET", server.url, timeout=600.0, stop=lambda: next(again, True)))


def test_the_time_is_for_the_whole_stream(client: GuardedClient) -> None:
    """A byte now and then does not make it longer, with somebody to ask or without."""
    endless = Reply(chunks=iter(lambda: b"x", b""), pause=0.05)
    with RecordingServer(lambda _: endless) as server:
        for stop in (None, lambda: False):
            request = HttpRequest("GET", server.url, timeout=0.3, stop=stop)
            with pytest.raises(NodeTimeout), client.stream(request) as stream:
                list(stream.pieces)


def test_a_stream_that_breaks_off_says_so(client: GuardedClient) -> None:
    """A body that is shorter than announced is no body."""
    raw = Raw([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"])
    with (
        RecordingServer(lambda _: raw) as server,
        client.stream(HttpRequest("GET", server.url)) as stream,
        pytest.raises(StepError) as caught,
    ):
        list(stream.pieces)
    assert (caught.value.code, caught.value.retryable) == ("HttpConnect", True)


def test_another_request_may_be_sent_between_two_pieces(client: GuardedClient) -> None:
    """The stream goes on under its own rules after that."""
    with RecordingServer(lambda _: Reply(chunks=[b"a", b"b"], pause=0.05)) as server, RecordingServer() as other:
        with client.stream(HttpRequest("GET", server.url)) as stream:
            first = next(stream.pieces)
            assert client.send(HttpRequest("GET", other.url)).content == b"ok"
            rest = b"".join(stream.pieces)
        assert first + rest == b"ab"


def test_the_clients_around_it_stream_too() -> None:
    """The lazy one, the one that marks calls to ourselves, and the one that sends nothing."""
    lazy = LazyHttp(["127.0.0.1"])
    with RecordingServer() as server:
        with OwnCalls(lazy, server.url, 2).stream(HttpRequest("GET", server.url)) as stream:
            assert b"".join(stream.pieces) == b"ok"
        assert server.requests[0].headers[DEPTH_HEADER.lower()] == "3"
    lazy.close()
    with pytest.raises(StepError, match="mock the node"):
        NoHttp().stream(HttpRequest("GET", "https://x.example/"))
