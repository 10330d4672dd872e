"""Endpoints of outbound webhooks: who is told of which events, and how they are kept.

An endpoint belongs to the whole account or to one flow, and its id says so: `account.<id>` or `<flow>.<id>`. So what a
run's events may go to is found by two short ranges of ids, however many flows the account has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import orjson

from flowrunner.core.ids import AccountId, FlowId, Millis
from flowrunner.errors import NotFound, StoreError
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity

KIND = "webhook"
ACCOUNT_SCOPE = "account"
PAGE = 200
TRIES = 20

OVERLAP: Millis = 24 * 3_600_000
"""How long a key that was replaced still signs, beside the new one."""

FAILING_LIMIT: Millis = 5 * 86_400_000
"""An endpoint that has answered nothing well for this long is disabled."""


@dataclass(frozen=True, slots=True)
class KeyRef:
    """A signing key by its name. `until` is set on one that was replaced and still signs until then."""

    id: str
    until: Millis | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One receiver. Signed with its own `keys`, or with the vault's secret named `secret`, or not at all."""

    account: AccountId
    id: str
    url: str
    events: tuple[str, ...]
    flow: FlowId | None = None
    nodes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    keys: tuple[KeyRef, ...] = ()
    secret: str | None = None
    document: bool = False
    """It stands in the flow's document, and changes with that."""
    enabled: bool = True
    disabled_reason: str | None = None
    failing_since: Millis | None = None
    created_at: Millis = 0
    updated_at: Millis = 0

    def hears(self, event: str, node: str | None, at: Millis) -> bool:
        """Whether it is told of an event. `nodes` narrows the events of steps, not those of the run."""
        if not self.enabled or event not in self.events or at < self.created_at:
            return False
        return not self.nodes or event.startswith("run.") or node in self.nodes

    @property
    def signed(self) -> bool:
        return bool(self.keys) or self.secret is not None

    def live_keys(self, now: Millis) -> tuple[KeyRef, ...]:
        """The keys that sign at `now`, the newest first."""
        return tuple(key for key in self.keys if key.until is None or key.until > now)

    def with_key(self, key: KeyRef, now: Millis) -> Endpoint:
        """With a new key. The one before it signs for some time yet; older ones are done."""
        before = [replace(old, until=now + OVERLAP) for old in self.keys if old.until is None]
        return replace(self, keys=(key, *before), updated_at=now)

    def succeeded(self) -> Endpoint | None:
        """After a delivery was taken; None when nothing changes."""
        return replace(self, failing_since=None) if self.failing_since is not None else None

    def failed(self, now: Millis) -> Endpoint | None:
        """After a try failed; None when nothing changes. It is disabled once it has failed for long enough."""
        if self.failing_since is None:
            return replace(self, failing_since=now)
        if self.enabled and now - self.failing_since >= FAILING_LIMIT:
            days = FAILING_LIMIT // 86_400_000
            return replace(self, enabled=False, disabled_reason=f"no delivery has succeeded for {days} days")
        return None

    def encode(self) -> Entity:
        """As it is stored."""
        document = {
            "url": self.url,
            "events": self.events,
            "flow": self.flow,
            "nodes": self.nodes,
            "headers": dict(self.headers),
            "description": self.description,
            "keys": [[key.id, key.until] for key in self.keys],
            "secret": self.secret,
            "document": self.document,
            "enabled": self.enabled,
            "reason": self.disabled_reason,
            "failing": self.failing_since,
            "created": self.created_at,
            "updated": self.updated_at,
        }
        return Entity(self.account, KIND, self.id, orjson.dumps(document))

    @staticmethod
    def decode(entity: Entity) -> Endpoint:
        document = orjson.loads(entity.body)
        return Endpoint(
            account=entity.account,
            id=entity.id,
            url=document["url"],
            events=tuple(document["events"]),
            flow=document["flow"],
            nodes=tuple(document["nodes"]),
            headers=document["headers"],
            description=document["description"],
            keys=tuple(KeyRef(id, until) for id, until in document["keys"]),
            secret=document["secret"],
            document=document["document"],
            enabled=document["enabled"],
            disabled_reason=document["reason"],
            failing_since=document["failing"],
            created_at=document["created"],
            updated_at=document["updated"],
        )


class Endpoints:
    """The store of endpoints, for the services of outbound webhooks. Asks for no permission."""

    def __init__(self, entities: Entities, clock: Clock) -> None:
        self._entities = entities
        self._clock = clock

    def get(self, account: AccountId, id: str) -> Endpoint | None:
        found = self._entities.get(account, KIND, id, self._clock.now())
        return Endpoint.decode(found) if found is not None else None

    def page(self, account: AccountId, flow: FlowId | None, after: str | None, limit: int) -> list[Endpoint]:
        """Some endpoints by id, of one flow if it is given, from behind `after`."""
        prefix = f"{flow}." if flow is not None else ""
        found = self._entities.list(account, KIND, self._clock.now(), prefix=prefix, after=after, limit=limit)
        return [Endpoint.decode(entity) for entity in found]

    def of_flow(self, account: AccountId, flow: FlowId) -> Iterator[Endpoint]:
        return self._scope(account, flow)

    def of_run(self, account: AccountId, flow: FlowId) -> list[Endpoint]:
        """The enabled endpoints that events of a run of `flow` may go to."""
        return [one for scope in (ACCOUNT_SCOPE, flow) for one in self._scope(account, scope) if one.enabled]

    def count(self, account: AccountId) -> int:
        """How many endpoints people have made; those of documents count with their flows."""
        return sum(not one.document for one in self._scope(account, None))

    def add(self, endpoint: Endpoint) -> bool:
        """Store a new endpoint; False when there is one of that id."""
        return self._entities.put(endpoint.encode(), self._clock.now(), expected_rev=0) is not None

    def change(self, account: AccountId, id: str, change: Callable[[Endpoint], Endpoint | None]) -> Endpoint:
        """Replace an endpoint by what `change` makes of it; None leaves it. Raises `NotFound`.

        `change` may be called several times, with what others have written in between.
        """
        for _ in range(TRIES):
            now = self._clock.now()
            entity = self._entities.get(account, KIND, id, now)
            if entity is None:
                raise NotFound(f"there is no webhook {id}")
            before = Endpoint.decode(entity)
            after = change(before)
            if after is None:
                return before
            if self._entities.put(after.encode(), now, expected_rev=entity.rev) is not None:
                return after
        raise StoreError("the webhook changes all the time; try again")

    def remove(self, account: AccountId, id: str) -> bool:
        return self._entities.delete(account, KIND, id)

    def _scope(self, account: AccountId, scope: str | None) -> Iterator[Endpoint]:
        prefix, after = f"{scope}." if scope is not None else "", None
        while True:
            page = self._entities.list(account, KIND, self._clock.now(), prefix=prefix, after=after, limit=PAGE)
            yield from map(Endpoint.decode, page)
            if len(page) < PAGE:
                return
            after = page[-1].id
