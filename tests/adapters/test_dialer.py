"""The guarded dialer: checked addresses, and limits that hold whatever is done with the connection."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest
from flowrunner.adapters.dialer import GuardedDialer
from flowrunner.adapters.egress import Guard
from flowrunner.bootstrap import LazyDialer
from flowrunner.errors import EgressDenied, NodeTimeout, StepError, ValueTooLarge
from flowrunner.ports.dialer import Connection, Dialer
from flowrunner.testing import NoDialer

from tests.certificates import Certificate, make_certificate
from tests.mail import HOST, ScriptedServer, dialer
from tests.servers import RecordingServer, Reply


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture
def closing() -> Iterator[list[socket.socket]]:
    """Sockets that are closed in the end."""
    sockets: list[socket.socket] = []
    yield sockets
    for one in sockets:
        one.close()


def secured(connection: Connection, closing: list[socket.socket]) -> socket.socket:
    wrapped = connection.tls.wrap_socket(connection.socket, server_hostname=HOST)
    closing.append(wrapped)
    return wrapped


def read_all(read: Callable[[], object]) -> None:
    """Until nothing comes any more, or an error."""
    while read():
        """More may come."""


def test_the_checked_address_is_the_one(closing: list[socket.socket]) -> None:
    """The name is looked up once; the next answer, which is forbidden, is never asked for."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    made = GuardedDialer(Guard(["127.0.0.1"], lambda _host, _port, _seconds: next(answers)))
    with ScriptedServer(lambda _: b"hello\r\n") as server:
        connection = made.connect("rebound.example", server.port, 10.0)
        closing.append(connection.socket)
        assert connection.socket.recv(100) == b"hello\r\n"
        assert connection.loopback
    assert next(answers) == ["10.0.0.1"]


def test_the_next_address_is_tried(closing: list[socket.socket]) -> None:
    """One that nobody answers at does not count."""
    made = GuardedDialer(Guard(["127.0.0.0/8"], lambda _host, _port, _seconds: ["127.0.0.2", "127.0.0.1"]))
    with ScriptedServer(lambda _: b"hello\r\n") as server:
        closing.append(made.connect("two.example", server.port, 10.0).socket)
        assert made.addresses("two.example", server.port) == ("127.0.0.2", "127.0.0.1")


def test_nobody_answers() -> None:
    """A refused connection may be tried again, and a name that does not resolve, too."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(StepError) as caught:
        dialer().connect(HOST, port, 10.0)
    assert (caught.value.code, caught.value.retryable) == ("ConnectFailed", True)
    with pytest.raises(StepError, match="no address") as caught:
        GuardedDialer(Guard([], lambda _host, _port, _seconds: [])).connect("gone.example", 25, 10.0)
    assert (caught.value.code, caught.value.retryable) == ("ConnectFailed", True)


@pytest.mark.parametrize("made", [GuardedDialer(Guard()), LazyDialer([])], ids=["dialer", "lazy"])
def test_what_is_not_open_is_denied(made: Dialer) -> None:
    """By address, by name and by the lists of flow and node, before anything is sent."""
    for host in ("127.0.0.1", "169.254.169.254", "::1", "/tmp/socket"):
        with pytest.raises(EgressDenied):
            made.connect(host, 25, 10.0)
    with pytest.raises(EgressDenied, match="allow"):
        made.addresses("93.184.215.14", 25, [["smtp.example.com"]])


def test_no_time_at_all() -> None:
    """The time may be over before it begins."""
    with ScriptedServer(lambda _: b"") as server, pytest.raises(NodeTimeout):
        dialer().connect(HOST, server.port, 0.0)


@pytest.mark.parametrize("piece", [b"", b"x"], ids=["silent", "drips"])
def test_the_time_is_for_all_that_is_received(piece: bytes, closing: list[socket.socket]) -> None:
    """A server that sends a byte now and then wins nothing by it."""
    with ScriptedServer(lambda _: repeat(piece)) as server:  # type: ignore[arg-type,return-value]  # without end
        sock = dialer().connect(HOST, server.port, 0.2, max_bytes=1 << 40).socket
        closing.append(sock)
        with pytest.raises(NodeTimeout, match=r"within 0\.2 s"):
            read_all(lambda: sock.recv(1))


def test_the_time_is_for_all_that_is_sent(closing: list[socket.socket]) -> None:
    """A server that takes nothing is given up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = dialer().connect(HOST, server.getsockname()[1], 0.2).socket
        closing.append(sock)
        with pytest.raises(NodeTimeout):
            sock.sendall(bytes(64 << 20))
        with pytest.raises(NodeTimeout):
            sock.send(b"x")


def test_a_handshake_has_an_end_too() -> None:
    """A server that never greets back under TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = dialer().connect(HOST, server.getsockname()[1], 0.2)
        with pytest.raises(NodeTimeout):
            connection.tls.wrap_socket(connection.socket, server_hostname=HOST)
        connection.socket.close()


def test_limits_hold_under_tls(certificate: Certificate, closing: list[socket.socket]) -> None:
    """Bytes are counted as they are read, whichever way."""
    with RecordingServer(lambda _: Reply(body=bytes(5_000)), tls=certificate.server()) as server:
        made = dialer(certificate.certificate)
        reads: list[Callable[[socket.socket], object]] = [
            lambda sock: sock.recv(100),
            lambda sock: sock.recv_into(bytearray(100)),
        ]
        for read in reads:
            sock = secured(made.connect(HOST, server.port, 30.0, max_bytes=1_000), closing)
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with pytest.raises(ValueTooLarge, match="more than 1,000 bytes"):
                read_all(partial(read, sock))


def test_time_holds_under_tls(certificate: Certificate, closing: list[socket.socket]) -> None:
    """A server that greets and then is silent is given up."""
    with RecordingServer(tls=certificate.server()) as server:
        sock = secured(dialer(certificate.certificate).connect(HOST, server.port, 1.0), closing)
        with pytest.raises(NodeTimeout):
            sock.makefile("rb").read(1)


def test_a_name_has_to_match(certificate: Certificate, tmp_path: Path) -> None:
    """The certificate is verified, and so is the name."""
    with RecordingServer(tls=make_certificate(tmp_path, "other.example").server()) as server:
        for trusted in (tmp_path / "server.pem", certificate.certificate):
            connection = dialer(trusted).connect(HOST, server.port, 30.0)
            with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
                connection.tls.wrap_socket(connection.socket, server_hostname=HOST)
            connection.socket.close()


def test_flow_tests_connect_to_nothing() -> None:
    """They say which node to mock."""
    for call in (lambda: NoDialer().addresses("x.example", 25), lambda: NoDialer().connect("x.example", 25, 1.0)):
        with pytest.raises(StepError, match=r"mock the node that asks x\.example:25"):
            call()
