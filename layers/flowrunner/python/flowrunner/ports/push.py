"""Messages to clients that hold a connection open elsewhere: the gateway in front of the WebSocket function."""

from __future__ import annotations

from typing import Protocol

MOST_BYTES = 120 * 1024
"""What one message may weigh. API Gateway takes 128 KB (quotas of WebSocket APIs)."""


class Push(Protocol):
    """Safe for several threads. Raises `StoreError` when the gateway does not answer: what was pushed may be lost."""

    def send(self, connection: str, message: bytes) -> bool:
        """Send a text message; False when the client is gone."""
        ...

    def close(self, connection: str) -> None:
        """Close a connection, gone or not."""
        ...
