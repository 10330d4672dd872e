"""TLS of the guarded client."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import EgressDenied, StepError
from flowrunner.ports.http import HttpRequest

from tests.adapters.http_clients import NAMES, client, made
from tests.servers import RecordingServer, redirect


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
