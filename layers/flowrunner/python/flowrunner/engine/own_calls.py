"""Calls of flows to this server itself carry how deep they are, so that hooks can end a circle of flows.

The header is ours: what a flow writes into it is replaced. A call that gets here by another host's redirect has none.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from urllib.parse import urlsplit

from flowrunner.ports.http import DEPTH_HEADER, HttpClient, HttpRequest, HttpResponse, HttpStream


class OwnCalls:
    """An HTTP client for one step. See `ports.http.HttpClient`."""

    def __init__(self, http: HttpClient, public_url: str, depth: int) -> None:
        self._http = http
        self._host = _host(public_url)
        self._depth = depth

    def send(self, request: HttpRequest) -> HttpResponse:
        return self._http.send(self._marked(request))

    def stream(self, request: HttpRequest) -> AbstractContextManager[HttpStream]:
        return self._http.stream(self._marked(request))

    def _marked(self, request: HttpRequest) -> HttpRequest:
        if _host(request.url) == self._host:
            others = [pair for pair in request.headers if pair[0].lower() != DEPTH_HEADER.lower()]
            request = replace(request, headers=(*others, (DEPTH_HEADER, str(self._depth + 1))))
        return request

    def close(self) -> None:
        """The client is shared, and closed by its owner."""


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # the guard refuses it
        return ""
