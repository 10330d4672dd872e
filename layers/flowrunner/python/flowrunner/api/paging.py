"""Pages of lists. A cursor is sealed for its account and list, so that nobody can make one or use another's."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

import orjson
from fastapi import Query
from pydantic import BaseModel, Field

from flowrunner.core.ids import AccountId
from flowrunner.errors import InvalidInput

MAX_LIMIT = 100
SEAL_BYTES = 12

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Entries per page.")]
Cursor = Annotated[
    str | None, Query(max_length=1024, description="`next_cursor` of the page before; left out: the first page.")
]

Entry = TypeVar("Entry")


class Page(BaseModel, Generic[Entry]):
    """One page of a list."""

    items: list[Entry]
    next_cursor: str | None = Field(None, description="Send it as `cursor` for the next page; null: this is the last.")


class Cursors:
    """Seals positions. `key` gives the installation's; cursors of another one are refused."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    def seal(self, account: AccountId, name: str, position: Any) -> str:
        """The cursor for a position of the list `name`, whose filters are part of the name."""
        body = orjson.dumps(position)
        return _text(self._mac(account, name, body) + body)

    def open(self, account: AccountId, name: str, cursor: str) -> Any:
        """The position. Raises `InvalidInput` for a cursor of another list or account, or one that was changed."""
        try:
            raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        except ValueError:
            raw = b""
        mac, body = raw[:SEAL_BYTES], raw[SEAL_BYTES:]
        # Decoding drops strange characters and unused bits: only the text that `seal` gave is the cursor.
        same = _text(raw) == cursor
        if not hmac.compare_digest(mac, self._mac(account, name, body)) or not body or not same:
            raise InvalidInput("the cursor does not belong to this list; start again without one", field="cursor")
        return orjson.loads(body)

    def _mac(self, account: AccountId, name: str, body: bytes) -> bytes:
        text = b"\0".join((account.encode(), name.encode(), body))
        return hmac.new(self._key(), text, hashlib.sha256).digest()[:SEAL_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
