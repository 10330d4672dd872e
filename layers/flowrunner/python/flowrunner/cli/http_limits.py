"""The limits that uvicorn does not have: on the head of a request, on the time that it takes, on what is pipelined.

Without them one connection can fill the memory with a header that does not end, and any number of them can stay open
for ever, half a line each. (`h11_max_incomplete_event_size` is for another parser than the one that is used.)
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD = 64 * 1024
"""Bytes of a request that are no body: its first line, headers, trailers, the framing of chunks."""
FRAMING = 16
"""... and for each byte of the body as many more: chunks may be small."""
HEAD_SECONDS = 15.0
"""For the headers of a request to arrive."""
MOST_PIPELINED = 32
STUCK_SECONDS = 30.0
"""A client that takes nothing of an answer for so long is cut off."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with these limits. A read that holds the beginning of a request is not counted in full."""

    _other_bytes = 0
    _body_bytes = 0
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_answering():
            self._await_head()
        self._other_bytes += len(data)
        super().data_received(data)
        if self._other_bytes > MOST_HEAD + FRAMING * self._body_bytes or len(self.pipeline) > MOST_PIPELINED:
            self._refuse()

    def on_message_begin(self) -> None:
        self._other_bytes = self._body_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_is_there()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._other_bytes -= len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_taking(None)

    # -- how ----------------------------------------------------------------------------------------------------

    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._late)

    def _head_is_there(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _late(self) -> None:
        self._waiting = None
        self.transport.close()
        self._watch_taking(None)

    def _refuse(self) -> None:
        if self._is_answering():
            self.transport.abort()
        elif not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
            self._watch_taking(None)

    def _watch_taking(self, before: int | None) -> None:
        """Cut the client off when it has taken nothing since the last look; `before` is what was left then."""
        left = self.transport.get_write_buffer_size()
        if left and left == before:
            self.transport.abort()
        elif left:
            self.loop.call_later(STUCK_SECONDS, self._watch_taking, left)
