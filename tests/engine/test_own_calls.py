"""Calls of flows to their own server say how deep they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flowrunner.engine.own_calls import OwnCalls
from flowrunner.ports.http import HttpRequest, HttpResponse, HttpStream

from tests.engine.harness import bench


class Sent:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.closed = False

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return HttpResponse(200)

    @contextmanager
    def stream(self, request: HttpRequest) -> Iterator[HttpStream]:
        self.requests.append(request)
        yield HttpStream(200, {}, iter(()), request.url)

    def close(self) -> None:
        self.closed = True


def depths(request: HttpRequest) -> list[str]:
    return [value for name, value in request.headers if name.lower() == "x-flowrunner-depth"]


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://flows.example.com/hooks/a/b", True),
        ("http://FLOWS.example.com:8080/hooks/a/b", True),
        ("https://flows.example.com./hooks/a/b", True),
        ("https://example.com/hooks/a/b", False),
        ("https://flows.example.com.evil.net/", False),
        ("https://[broken", False),
        ("nonsense", False),
    ],
)
def test_who_is_told(url: str, own: bool) -> None:
    """The header goes to the server's own host, whatever the scheme and port, and to nobody else."""
    sent = Sent()
    OwnCalls(sent, "https://flows.example.com/base", 3).send(HttpRequest("POST", url, (("Accept", "*/*"),)))
    with OwnCalls(sent, "https://flows.example.com/base", 3).stream(HttpRequest("POST", url)):
        pass
    assert [depths(request) for request in sent.requests] == [["4"] if own else []] * 2
    assert ("Accept", "*/*") in sent.requests[0].headers


def test_a_flow_cannot_lower_it() -> None:
    """What a flow writes into the header is replaced."""
    sent = Sent()
    forged = HttpRequest("POST", "https://flows.example.com/", (("X-FLOWRUNNER-depth", "0"),))
    OwnCalls(sent, "https://flows.example.com", 10).send(forged)
    assert depths(sent.requests[0]) == ["11"]


def test_the_client_is_shared() -> None:
    """Closing a step's view of the client leaves the client open for others."""
    sent = Sent()
    OwnCalls(sent, "https://flows.example.com", 0).close()
    assert not sent.closed


def test_nodes_send_it() -> None:
    """A node that calls the server itself sends the depth of its run and one more."""
    document = """\
metadata: {name: caller}
nodes:
  a: {type: http.request, params: {url: "https://flows.example.com/hooks/a/b", headers: {X-Flowrunner-Depth: "0"}}}
"""
    sent = Sent()
    with bench(http=sent, public_url="https://flows.example.com") as made:
        made.run(document)
    assert depths(sent.requests[0]) == ["1"]
