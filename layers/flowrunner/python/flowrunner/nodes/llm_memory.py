"""A conversation that is kept between steps and runs, in the account's key-value store.

A step that is executed again after a crash finds its own messages there; they carry its idempotency key, and are
taken off first. Of two steps that talk under one key at the same time, the one that ends last is remembered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, Millis
from flowrunner.nodes.base import Context
from flowrunner.ports.kv import Item

NAMESPACE = "llm/memory"
CHARACTERS_PER_TOKEN = 4
"""Roughly, for English; what matters is that there is a limit."""

Messages = list[dict[str, Json]]


class Memory:
    """The conversation under one key, for one execution."""

    def __init__(self, ctx: Context[Any], key: str, most: int, tokens: int, ttl: Millis | None) -> None:
        self._ctx = ctx
        self._key = key
        self._most = most
        self._tokens = tokens
        self._ttl = ttl
        self._account = AccountId(ctx.run.account)

    def load(self) -> Messages:
        """The messages so far, the oldest first."""
        item = self._ctx.values.get(self._account, NAMESPACE, self._key, self._ctx.now())
        if item is None:
            return []
        kept: Mapping[str, Any] = item.value
        messages: Messages = list(kept["messages"])
        if kept["by"] == self._ctx.run.idempotency_key:
            del messages[max(len(messages) - int(kept["added"]), 0) :]
        return messages

    def save(self, before: Sequence[dict[str, Json]], added: Sequence[dict[str, Json]]) -> None:
        """Keep what there was and what this step adds, as far as the limits go."""
        messages = trimmed([*before, *added], self._most, self._tokens)
        value = {
            "messages": messages,
            "added": min(len(added), len(messages)),
            "by": self._ctx.run.idempotency_key,
        }
        expires_at = None if self._ttl is None else self._ctx.now() + self._ttl
        self._ctx.values.set(self._account, NAMESPACE, Item(self._key, value, expires_at))


def trimmed(messages: Messages, most: int, tokens: int) -> Messages:
    """The last messages within both limits. It begins with the user's: no server takes a tool's result without the
    call before it.
    """
    left = tokens * CHARACTERS_PER_TOKEN
    first = len(messages)
    while first > 0 and len(messages) - first < most:
        left -= len(json.dumps(messages[first - 1], ensure_ascii=False))
        if left < 0:
            break
        first -= 1
    while first < len(messages) and messages[first].get("role") != "user":
        first += 1
    return messages[first:]
