"""Outbound webhooks: who is told of what happens in an account, and how they can be sure that it was us.

An endpoint is made through the API, for the account, a flow or nodes of a flow, or it stands in a flow's document and
follows that. The first kind has a signing key of its own, which is shown once; the second names a secret of the vault.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from flowrunner.core.flow import Flow, Json
from flowrunner.core.ids import AccountId, FlowId
from flowrunner.errors import Conflict, EgressDenied, InvalidInput, NotFound, StepError
from flowrunner.language.schema import EVENT_ALIASES, EVENTS
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.flows import Flows
from flowrunner.services.audit import Action, Audit
from flowrunner.services.deliveries import Deliveries, Delivery
from flowrunner.services.endpoint_keys import EndpointKeys
from flowrunner.services.endpoints import ACCOUNT_SCOPE, Endpoint, Endpoints
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.webhook_messages import TEST_EVENT, check_headers, message_id, payload

MAX_URL = 2048
MAX_DESCRIPTION = 256
LOOKUP_SECONDS = 5.0
"""For the names of all webhooks of a document; one that is begun may take as long again."""

CheckUrl = Callable[[str], object]
"""Whether the egress guard would let a request to a URL pass now. Raises `EgressDenied`, or `StepError` for a name
that does not resolve."""


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A wish for an endpoint. `flow` is a flow's id; `nodes` are nodes of that flow."""

    url: str
    events: Sequence[str]
    flow: str | None = None
    nodes: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """What is to change; None leaves it as it is."""

    url: str | None = None
    events: Sequence[str] | None = None
    nodes: Sequence[str] | None = None
    headers: Mapping[str, str] | None = None
    description: str | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class WithKey:
    """An endpoint with its new signing key (`whsec_…`), which is told this once."""

    endpoint: Endpoint
    key: str


class Webhooks:
    """See the module. `check_count` raises `QuotaExceeded` when the account has as many endpoints as it may have."""

    def __init__(
        self,
        endpoints: Endpoints,
        deliveries: Deliveries,
        keys: EndpointKeys,
        flows: Flows,
        audit: Audit,
        clock: Clock,
        draws: Draws,
        check_url: CheckUrl,
        check_count: Callable[[AccountId, Callable[[], int]], None] = lambda account, count: None,
    ) -> None:
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._keys = keys
        self._flows = flows
        self._audit = audit
        self._clock = clock
        self._draws = draws
        self._check_url = check_url
        self._check_count = check_count

    # -- for people ---------------------------------------------------------------------------------------------

    def list(
        self, actor: Actor, flow: FlowId | None = None, after: str | None = None, limit: int = 50
    ) -> Sequence[Endpoint]:
        """Endpoints by id, those of one flow if it is given, from behind the id `after`."""
        require(actor, Permission.WEBHOOKS_READ)
        return self._endpoints.page(actor.account, flow, after, limit)

    def get(self, actor: Actor, webhook: str) -> Endpoint:
        """Raises `NotFound`."""
        require(actor, Permission.WEBHOOKS_READ)
        return self._found(actor, webhook)

    def create(self, actor: Actor, wish: NewWebhook) -> WithKey:
        """Make an endpoint. Raises `InvalidInput`, `QuotaExceeded`."""
        require(actor, Permission.WEBHOOKS_WRITE)
        flow = FlowId(wish.flow) if wish.flow is not None else None
        now = self._clock.now()
        wanted = Endpoint(
            account=actor.account,
            id=f"{flow or ACCOUNT_SCOPE}.{self._draws.new_id()}",
            url=wish.url,
            events=_events(wish.events),
            flow=flow,
            nodes=tuple(dict.fromkeys(wish.nodes)),
            headers=dict(wish.headers),
            description=wish.description,
            enabled=wish.enabled,
            created_at=now,
            updated_at=now,
        )
        if flow is not None and self._flows.get(actor.account, flow) is None:
            raise _invalid("flow_id", "there is no such flow")
        self._check(wanted)
        self._check_count(actor.account, lambda: self._endpoints.count(actor.account))
        ref, key = self._keys.make(actor.account, wanted.id)
        endpoint = replace(wanted, keys=(ref,))
        if not self._endpoints.add(endpoint):
            raise Conflict("there is a webhook of that id")
        self._audit.record(actor, Action.WEBHOOK_CREATED, endpoint.id, events=list(endpoint.events), flow=flow)
        return WithKey(endpoint, key)

    def update(self, actor: Actor, webhook: str, wish: WebhookChange) -> Endpoint:
        """Change an endpoint; one of a document can only be enabled and disabled.

        Enabling forgets how long it had failed. Raises `NotFound`, `InvalidInput`, `Conflict`.
        """
        require(actor, Permission.WEBHOOKS_WRITE)
        found = self._found(actor, webhook)
        if found.document and wish != WebhookChange(enabled=wish.enabled):
            raise Conflict("the webhook stands in its flow's document", hint="change the document")
        self._check(self._changed(found, wish))
        after = self._endpoints.change(actor.account, webhook, lambda now: self._changed(now, wish))
        self._audit.record(actor, Action.WEBHOOK_CHANGED, webhook, enabled=after.enabled, events=list(after.events))
        return after

    def delete(self, actor: Actor, webhook: str) -> None:
        """Remove an endpoint; what was not delivered yet is not sent. Raises `NotFound`, `Conflict`."""
        require(actor, Permission.WEBHOOKS_WRITE)
        found = self._found(actor, webhook)
        if found.document:
            raise Conflict("the webhook stands in its flow's document", hint="take it out there, or disable it")
        self._endpoints.remove(actor.account, webhook)
        self._keys.forget(found)
        self._audit.record(actor, Action.WEBHOOK_DELETED, webhook)

    def rotate(self, actor: Actor, webhook: str) -> WithKey:
        """Give an endpoint a new key. The one before signs beside it for 24 hours. Raises `NotFound`, `Conflict`."""
        require(actor, Permission.WEBHOOKS_WRITE)
        before = self._found(actor, webhook)
        if before.document:
            raise Conflict(
                "the webhook is signed with a secret of the vault",
                hint="write the new key and the old one into it, separated by a space; later the new one alone",
            )
        ref, key = self._keys.make(actor.account, webhook)
        after = self._endpoints.change(actor.account, webhook, lambda found: found.with_key(ref, self._clock.now()))
        self._keys.forget(before, kept=after.keys)
        self._audit.record(actor, Action.WEBHOOK_SECRET_ROTATED, webhook)
        return WithKey(after, key)

    def test(self, actor: Actor, webhook: str) -> Delivery:
        """Send a `webhook.test`, whatever the endpoint's events are. Raises `NotFound`, `Conflict` when disabled."""
        require(actor, Permission.WEBHOOKS_WRITE)
        endpoint = self._found(actor, webhook)
        if not endpoint.enabled:
            raise Conflict("the webhook is disabled", hint="enable it, then test")
        now = self._clock.now()
        message = message_id(webhook, TEST_EVENT, self._draws.new_id())
        body = payload(TEST_EVENT, now, {"webhook": webhook, "by": actor.name})
        delivery = Delivery(actor.account, message, webhook, TEST_EVENT, body, now, next_try=now)
        self._deliveries.add(delivery)
        self._deliveries.on_due()
        return delivery

    # -- for the flows: see `services.flows.Follower` -------------------------------------------------------------

    def check(self, account: AccountId, flow: FlowId, document: Flow) -> None:
        """Raises `InvalidInput` with everything that is wrong with a document's `webhooks`.

        A host that does not resolve just now is let pass: every send is checked. So is what is left when the first
        lookups have taken long: a document of a hundred slow names must not hold a thread for minutes.
        """
        problems: list[dict[str, str]] = []
        began = self._clock.monotonic()
        for number, webhook in enumerate(document.webhooks):
            at = f"webhooks[{number}]"
            try:
                check_headers(webhook["headers"], f"{at}.headers")
            except InvalidInput as error:
                problems += error.details["problems"]
            if self._clock.monotonic() - began > LOOKUP_SECONDS:
                continue
            try:
                self._check_url(webhook["url"])
            except EgressDenied as error:
                problems.append({"field": f"{at}.url", "message": str(error)})
            except StepError:
                continue
        if problems:
            told = "; ".join(f"{one['field']}: {one['message']}" for one in problems)
            raise InvalidInput(f"the flow's webhooks cannot be used: {told}", problems=problems)

    def sync(self, account: AccountId, flow: FlowId, document: Flow, *, active: bool) -> None:
        """Make the endpoints of a document what it says.

        They stay for a flow that is not active: runs that are under way, or started by hand, are told of as well. One
        that was disabled stays so, as long as its URL is the same.
        """
        wanted = {one.id: one for one in _of_document(account, flow, document.webhooks)}
        for old in list(self._endpoints.of_flow(account, flow)):
            if old.document and old.id not in wanted:
                self._endpoints.remove(account, old.id)
        now = self._clock.now()
        for endpoint in wanted.values():
            fresh = replace(endpoint, created_at=now, updated_at=now)
            if not self._endpoints.add(fresh):
                self._endpoints.change(account, endpoint.id, partial(_followed, fresh))

    def forget(self, account: AccountId, flow: FlowId) -> None:
        """Remove all endpoints of a flow that is being deleted."""
        for endpoint in list(self._endpoints.of_flow(account, flow)):
            self._endpoints.remove(account, endpoint.id)
            self._keys.forget(endpoint)

    # -- how ----------------------------------------------------------------------------------------------------

    def _found(self, actor: Actor, webhook: str) -> Endpoint:
        found = self._endpoints.get(actor.account, webhook)
        if found is None:
            raise NotFound("there is no such webhook")
        return found

    def _changed(self, found: Endpoint, wish: WebhookChange) -> Endpoint:
        changed = replace(found, updated_at=self._clock.now())
        if wish.url is not None:
            changed = replace(changed, url=wish.url)
        if wish.events is not None:
            changed = replace(changed, events=_events(wish.events))
        if wish.nodes is not None:
            changed = replace(changed, nodes=tuple(dict.fromkeys(wish.nodes)))
        if wish.headers is not None:
            changed = replace(changed, headers=dict(wish.headers))
        if wish.description is not None:
            changed = replace(changed, description=wish.description)
        if wish.enabled is not None and wish.enabled != found.enabled:
            changed = replace(changed, enabled=wish.enabled, disabled_reason=None, failing_since=None)
        return changed

    def _check(self, endpoint: Endpoint) -> None:
        """Raises `InvalidInput`."""
        if not endpoint.url.startswith(("http://", "https://")) or len(endpoint.url) > MAX_URL:
            raise _invalid("url", f"must begin with https:// or http://, and have at most {MAX_URL} characters")
        if endpoint.nodes and endpoint.flow is None:
            raise _invalid("nodes", "nodes belong to a flow: name it in `flow_id`, or leave `nodes` out")
        if len(endpoint.description) > MAX_DESCRIPTION or not endpoint.description.isprintable():
            raise _invalid("description", f"must be one line of at most {MAX_DESCRIPTION} characters")
        check_headers(endpoint.headers)
        if not endpoint.document:
            try:
                self._check_url(endpoint.url)
            except StepError as error:
                raise _invalid("url", str(error)) from None


def _events(wanted: Sequence[str]) -> tuple[str, ...]:
    """Events by the names that they are sent under. Raises `InvalidInput`."""
    for number, event in enumerate(wanted):
        if event not in EVENTS:
            raise _invalid(f"events[{number}]", f"there is no event {event[:64]!r}; there are {', '.join(EVENTS)}")
    if not wanted:
        raise _invalid("events", "name at least one event")
    return tuple(dict.fromkeys(EVENT_ALIASES.get(event, event) for event in wanted))


def _of_document(account: AccountId, flow: FlowId, webhooks: Sequence[Mapping[str, Json]]) -> list[Endpoint]:
    """The endpoints of a document. One is the same as before when its URL is; of equal ones the position counts."""
    found: list[Endpoint] = []
    seen: dict[str, int] = {}
    for webhook in webhooks:
        url = webhook["url"]
        seen[url] = seen.get(url, 0) + 1
        digest = hashlib.sha256(f"{url}|{seen[url]}".encode()).hexdigest()[:32]
        found.append(
            Endpoint(
                account=account,
                id=f"{flow}.{digest}",
                url=url,
                events=_events(webhook["events"]),
                flow=flow,
                nodes=tuple(webhook["nodes"]),
                headers=webhook["headers"],
                secret=webhook["secret"],
                document=True,
            )
        )
    return found


def _followed(new: Endpoint, old: Endpoint) -> Endpoint | None:
    """The endpoint as its document has it now; None when that changes nothing."""
    kept = replace(
        new,
        enabled=old.enabled,
        disabled_reason=old.disabled_reason,
        failing_since=old.failing_since,
        created_at=old.created_at,
        updated_at=old.updated_at,
    )
    return None if kept == old else replace(kept, updated_at=new.updated_at)


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(f"{field}: {message}", problems=[{"field": field, "message": message}])
