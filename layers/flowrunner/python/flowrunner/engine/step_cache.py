"""The results of steps that carry `cache`: found again by their key instead of being worked out again."""

from __future__ import annotations

import hashlib

from flowrunner.core.flow import Cache, Json
from flowrunner.core.ids import FlowId, Millis, NodeId
from flowrunner.engine.scope import Scope
from flowrunner.engine.values import to_json
from flowrunner.nodes.base import Result
from flowrunner.ports.kv import Item, KeyValues

NAMESPACE = "$cache"


class StepCache:
    """The cache of one node for one key value."""

    def __init__(self, values: KeyValues, scope: Scope, flow: FlowId, node: NodeId, cache: Cache, key: Json) -> None:
        self._values = values
        self._scope = scope
        self._cache = cache
        text = to_json(key, "cache.key").decode()
        # A key that holds a secret would be one in clear: names of values are stored as they are.
        if scope.redactor().found(text):
            text = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        self._name = f"{flow}/{node}/{text}"

    def get(self, now: Millis) -> Result | None:
        """What was kept, unless its time is over."""
        found = self._values.get(self._scope.account, NAMESPACE, self._name, now)
        return Result(found.value["output"], found.value["action"]) if found is not None else None

    def put(self, result: Result, now: Millis) -> None:
        """Keep a result for the cache's time."""
        value = {"output": result.output, "action": result.action}
        self._values.set(self._scope.account, NAMESPACE, Item(self._name, value, now + self._cache.ttl))
