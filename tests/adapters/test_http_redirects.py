"""Redirects of the guarded client: where they may lead, and what goes along."""

from __future__ import annotations

import pytest
from flowrunner.errors import EgressDenied, StepError
from flowrunner.ports.http import HttpRequest

from tests.adapters.http_clients import client, get
from tests.servers import Received, RecordingServer, Reply, redirect


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
