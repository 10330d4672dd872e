"""A conversation that is kept between steps and runs, in the account's key-value store.

A step that is executed again after a crash finds its own messages there; they carry its idempotency key, and are
taken off first. Of two steps that talk under one key at the same time, the one that ends last is remembered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId
from flowrunner.nodes.base import Context
from flowrunner.nodes.llm_params import LlmChatParams
from flowrunner.ports.kv import Item

NAMESPACE = "llm/memory"
CHARACTERS_PER_TOKEN = 4
"""Roughly, for English; what matters is that there is a limit."""

Messages = list[dict[str, Json]]


class Memory:
    """The conversation under one key, for one execution."""

    def __init__(self, ctx: Context[LlmChatParams], key: str) -> None:
        self._ctx = ctx
        self._key = key
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
        params = self._ctx.params
        messages = trimmed([*before, *added], params.memory_messages, params.memory_tokens)
        value = {
            "messages": messages,
            "added": min(len(added), len(messages)),
            "by": self._ctx.run.idempotency_key,
        }
        expires_at = None if params.memory_ttl is None else self._ctx.now() + params.memory_ttl
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
