"""The key-value store as steps see it: what they keep there is masked and sealed where it holds a secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, Millis
from flowrunner.engine.scope import Scope
from flowrunner.engine.seals import Seals
from flowrunner.engine.values import to_json
from flowrunner.errors import StepError
from flowrunner.ports.kv import Item, KeyValues


class SecretInName(StepError):
    """The value of a secret cannot be a name, a key or a flow: those are stored as they are."""

    code = "SECRET_IN_NAME"


class SealedValues:
    """See `ports.kv.KeyValues`, which this is for one execution."""

    def __init__(self, values: KeyValues, seals: Seals, scope: Scope) -> None:
        self._values = values
        self._seals = seals
        self._scope = scope

    def get(self, account: AccountId, namespace: str, key: str, now: Millis) -> Item | None:
        item = self._values.get(account, namespace, key, now)
        return self._opened(account, namespace, item) if item is not None else None

    def set(self, account: AccountId, namespace: str, item: Item) -> None:
        """As the port; raises `SecretInName` for a key that holds the value of a secret."""
        check_name(self._scope, f"the key {namespace}/…", namespace, item.key)
        known, redactor = self._scope.known(), self._scope.redactor()
        if redactor:
            text = to_json(item.value, "the value to store")
            place = _place(namespace, item.key)
            item = replace(item, value=self._seals.wrap(account, place, item.value, text, known, redactor))
        self._values.set(account, namespace, item)

    def delete(self, account: AccountId, namespace: str, key: str) -> bool:
        return self._values.delete(account, namespace, key)

    def list(
        self, account: AccountId, namespace: str, now: Millis, *, prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[Item]:
        found = self._values.list(account, namespace, now, prefix=prefix, after=after, limit=limit)
        return [self._opened(account, namespace, item) for item in found]

    def increment(
        self, account: AccountId, namespace: str, key: str, by: float, now: Millis, expires_at: Millis | None
    ) -> float:
        check_name(self._scope, f"the key {namespace}/…", namespace, key)
        return self._values.increment(account, namespace, key, by, now, expires_at)

    def purge(self, now: Millis) -> int:
        return self._values.purge(now)

    def _opened(self, account: AccountId, namespace: str, item: Item) -> Item:
        opened = self._seals.unwrap(account, _place(namespace, item.key), item.value)
        return replace(item, value=self._scope.opened(opened))


def check_name(scope: Scope, what: str, *names: Json) -> None:
    """Raises `SecretInName` when one of `names` shows a secret that the run has read."""
    if scope.redactor().found(list(names)):
        raise SecretInName(f"{scope.redactor().text(what)} holds the value of a secret", hint="give it another name")


def _place(namespace: str, key: str) -> str:
    return f"kv/{namespace}/{key}"
