"""The events of a run while they happen, over server-sent events, across connections that are lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flowrunner.cli.exits import ExitCode, RemoteError
from flowrunner.cli.remote.refusals import refusal

if TYPE_CHECKING:
    from httpx2 import Response

    from flowrunner.cli.remote.client import Client

ENDS = frozenset({"run.completed", "run.failed", "run.cancelled"})
LOST_IN_A_ROW = 6
"""Connections that brought nothing, after which the server is given up."""
LOST_BEFORE_TOLD = 3
"""A connection that is there again at once need not trouble anybody."""
PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


def follow(client: Client, path: str, query: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Each event once, until the run has ended. Raises `RemoteError`.

    A run that was redriven has several ends; the last is the one behind which the server closes the stream.
    """
    seen: set[str] = set()
    last: str | None = None
    ended, lost, told = False, 0, False
    while True:
        try:
            with client.stream(path, query or {}, last) as response:
                for position, event in _events(client, response, lost):
                    last, lost, told = position or last, 0, False
                    if event is not None and event["id"] not in seen:
                        seen.add(event["id"])
                        ended = event["type"] in ENDS
                        yield event
                if ended:
                    return
            # The server has let go of us, to stop or because we were too slow.
            error: BaseException | None = None
        except Exception as lost_with:  # which of them mean a lost connection the client knows
            if not client.is_lost(lost_with):
                raise
            error = lost_with
        lost += 1
        if lost >= LOST_BEFORE_TOLD and not told:
            told = True
            client.tell(f"the connection to {client.server} is lost; trying again")
        if lost > LOST_IN_A_ROW:
            if error is not None:
                raise client.unreachable(error) from None
            raise RemoteError(f"{client.server} closes the stream of events again and again", ExitCode.SERVER)
        client.pause(PAUSES[min(lost, len(PAUSES)) - 1])


def _events(client: Client, response: Response, lost: int) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """The events of one connection with their positions; none if the server was busy and has been waited for.

    A server that answers in pieces says with a position alone that nothing has happened.
    """
    from httpx2 import EventSource

    if response.status_code != 200:
        response.read()
        if client.waits(response, lost):
            return
        raise refusal(response)
    for message in EventSource(response, None):
        if message.data:
            try:
                event = json.loads(message.data)
            except ValueError:
                event = None
            if not isinstance(event, dict) or "id" not in event or "type" not in event:
                raise RemoteError("the server does not answer like a flowrunner server", ExitCode.SERVER)
            yield message.id, event
        elif message.id:
            yield message.id, None
