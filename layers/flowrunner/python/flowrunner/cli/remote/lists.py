"""Lists of things on a server, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowrunner.cli.remote.client import Client

PAGE = 100
"""What the server gives at once, at most."""


@dataclass(frozen=True, slots=True)
class Found:
    """Things of a list, and whether there are more."""

    items: list[Any]
    more: bool = False


def collect(client: Client, path: str, limit: int, *, every: bool = False, **query: Any) -> Found:
    """The first `limit` things of a list, or `every` one. Raises `RemoteError`."""
    items: list[Any] = []
    cursor: str | None = None
    while True:
        wanted = PAGE if every else min(PAGE, limit - len(items))
        page = client.get(path, limit=wanted, cursor=cursor, **query)
        items += page["items"]
        cursor = page.get("next_cursor")
        if cursor is None or (not every and len(items) >= limit):
            return Found(items, cursor is not None)
