"""Which flow answers at which path: inbound webhooks as they are stored.

Each path and method of an account is held by one flow: the store's unique second name sees to that. Only flows in
service hold any, so a disabled hook looks like one that never was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import orjson

from flowrunner.core.flow import Flow, Json
from flowrunner.core.ids import AccountId, FlowId
from flowrunner.errors import Conflict
from flowrunner.language.schema import WebhookTrigger
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity

KIND = "hook"
PAGE = 200
METHODS: tuple[str, ...] = get_args(WebhookTrigger.model_fields["method"].annotation)

_PATH = re.compile(r"[A-Za-z0-9_/-]{1,128}", re.ASCII)
_ACCOUNT = re.compile(r"[!-~]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hook:
    """One path and method, and what the trigger says about it. Without `scheme` nothing is verified."""

    account: AccountId
    flow: FlowId
    path: str
    method: str
    scheme: str | None = None
    secret: str | None = None
    """The name of the secret."""
    header: str | None = None
    sync: bool = False

    @property
    def id(self) -> str:
        """Begins with the flow's id, so that a flow's hooks are found together."""
        return f"{self.flow}.{self.method}.{self.path}"

    @property
    def lookup(self) -> str:
        """The second name, which one hook of all can have."""
        return f"{self.account}/{self.path} {self.method}"

    def encode(self) -> Entity:
        """The entity to store."""
        body = [self.flow, self.path, self.method, self.scheme, self.secret, self.header, self.sync]
        return Entity(self.account, KIND, self.id, orjson.dumps(body), lookup=self.lookup)


def decode(entity: Entity) -> Hook:
    """A stored hook."""
    values: list[Any] = orjson.loads(entity.body)
    return Hook(entity.account, *values)


def hooks_of(account: AccountId, flow: FlowId, triggers: tuple[Mapping[str, Json], ...]) -> list[Hook]:
    """The hooks of a document."""
    found = []
    for trigger in triggers:
        if trigger["type"] != "webhook":
            continue
        verify: Mapping[str, Any] = trigger.get("verify") or {}
        found.append(
            Hook(
                account=account,
                flow=flow,
                path=trigger["path"],
                method=trigger.get("method", "POST"),
                scheme=verify.get("scheme"),
                secret=verify.get("secret"),
                header=verify.get("header"),
                sync=trigger.get("respond") == "sync",
            )
        )
    return found


class HookPaths:
    """See the module. It follows flows (`services.flows.Follower`)."""

    def __init__(self, entities: Entities, clock: Clock) -> None:
        self._entities = entities
        self._clock = clock

    def find(self, account: AccountId, path: str, method: str) -> Hook | None:
        """The hook of an account at a path. `account` and `path` come from strangers."""
        if _PATH.fullmatch(path) is None or _ACCOUNT.fullmatch(account) is None:
            return None
        wanted = Hook(account, FlowId(""), path, method)
        found = self._entities.find(KIND, wanted.lookup, self._clock.now())
        return decode(found) if found is not None and found.account == account else None

    def methods(self, account: AccountId, path: str) -> list[str]:
        """The methods that have a hook at a path."""
        return [method for method in METHODS if self.find(account, path, method) is not None]

    def list(self, account: AccountId, *, after: str | None = None, limit: int = 50) -> list[Hook]:
        """The hooks of an account by id, from behind the id `after`."""
        return [decode(one) for one in self._entities.list(account, KIND, self._clock.now(), after=after, limit=limit)]

    def check(self, account: AccountId, flow: FlowId, document: Flow) -> None:
        """Raises `Conflict` when another flow holds a path of the document."""
        for hook in hooks_of(account, flow, document.triggers):
            holder = self.find(account, hook.path, hook.method)
            if holder is not None and holder.flow != flow:
                raise _taken(hook, holder.flow)

    def sync(self, account: AccountId, flow: FlowId, document: Flow, *, active: bool) -> None:
        """Make the flow's hooks what its document says; none while it is not in service.

        Raises `Conflict` when another flow was quicker to take a path; the others are made all the same.
        """
        now = self._clock.now()
        wanted = {hook.id: hook for hook in hooks_of(account, flow, document.triggers)} if active else {}
        for hook in list(self._of(account, flow)):
            if hook.id not in wanted:
                self._entities.delete(account, KIND, hook.id)
            elif hook == wanted[hook.id]:
                del wanted[hook.id]
        lost: Hook | None = None
        for hook in wanted.values():
            try:
                self._entities.put(hook.encode(), now)
            except Conflict:
                lost = hook
        if lost is not None:
            raise _taken(lost, None)

    def forget(self, account: AccountId, flow: FlowId) -> None:
        """Remove all hooks of a flow."""
        for hook in list(self._of(account, flow)):
            self._entities.delete(account, KIND, hook.id)

    def _of(self, account: AccountId, flow: FlowId) -> Iterator[Hook]:
        after: str | None = None
        prefix = f"{flow}."
        while page := self._entities.list(account, KIND, self._clock.now(), prefix=prefix, after=after, limit=PAGE):
            yield from map(decode, page)
            if len(page) < PAGE:
                return
            after = page[-1].id


def _taken(hook: Hook, holder: FlowId | None) -> Conflict:
    return Conflict(
        f"another flow answers {hook.method} {hook.path} already",
        hint="choose another path, or archive that flow",
        path=hook.path,
        method=hook.method,
        flow=holder,
    )
