"""Outbound webhooks: who is told of what happens, and what became of each delivery."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import Path, Query, Response
from pydantic import Field

from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown, TheCursors, Wish, moment
from flowrunner.core.flow import Json
from flowrunner.core.ids import FlowId
from flowrunner.language.schema import EVENTS, HEADER, ID
from flowrunner.services.deliveries import Delivery, DeliveryStatus, Try
from flowrunner.services.endpoints import Endpoint
from flowrunner.services.identity import Permission
from flowrunner.services.webhook_messages import MAX_HEADER_VALUE, MAX_HEADERS
from flowrunner.services.webhooks import MAX_DESCRIPTION, MAX_URL, NewWebhook, WebhookChange, WithKey

api = router("webhooks")

TheWebhook = Annotated[str, Path(max_length=160, description="The webhook's id.")]
TheDelivery = Annotated[str, Path(max_length=64, description="The delivery's id, which is its `webhook-id` header.")]

Url = Annotated[
    str, Field(pattern=r"^https?://", max_length=MAX_URL, examples=["https://example.com/hooks/flowrunner"])
]
Events = Annotated[
    list[Literal[EVENTS]],  # type: ignore[valid-type]  # a tuple of literals is meant
    Field(min_length=1, max_length=len(EVENTS), examples=[["run.completed", "run.failed"]]),
]
Nodes = Annotated[
    list[Annotated[str, Field(pattern=ID)]],
    Field(max_length=100, description="Only steps of these nodes; events of the run are told all the same."),
]
Headers = Annotated[
    dict[Annotated[str, Field(pattern=HEADER)], Annotated[str, Field(max_length=MAX_HEADER_VALUE)]],
    Field(
        max_length=MAX_HEADERS,
        description="Sent along. They are shown again as they are, so they are no place for secrets.",
        examples=[{"X-Team": "orders"}],
    ),
]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION, description="One line, for people.")]


class WebhookModel(Shown):
    """Where events are sent, and which."""

    id: str
    url: str
    events: list[str] = Field(
        description="By the names that they are sent under: `node.completed` is `step.succeeded`."
    )
    flow_id: str | None = Field(description="Only runs of this flow; null: all runs of the account.")
    nodes: list[str]
    headers: dict[str, str]
    description: str
    source: Literal["flow", "api"] = Field(
        description="`flow`: it stands in the flow's document, which alone can change more than `enabled`."
    )
    secret: str | None = Field(description="The vault's secret that signs, for one that stands in a document.")
    signed: bool
    old_key_until: Moment | None = Field(description="Until then the key before the last rotation signs as well.")
    enabled: bool
    disabled_reason: str | None = Field(description="Why the sender has disabled it; null: it has not.")
    failing_since: Moment | None = Field(description="Since when every try has failed; after 5 days it is disabled.")
    created_at: Moment | None
    updated_at: Moment | None


class WebhookWithKey(WebhookModel):
    """A webhook with its new key."""

    signing_key: str = Field(
        description="Verifies what is sent (Standard Webhooks). It is shown this once.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )


class WebhookWish(Wish):
    """A webhook to make."""

    url: Url
    events: Events
    flow_id: str | None = Field(None, max_length=64, description="Only runs of this flow; left out: of the account.")
    nodes: Nodes = Field(default_factory=list)
    headers: Headers = Field(default_factory=dict)
    description: Description = ""
    enabled: bool = True


class WebhookPatch(Wish):
    """What is to change; what is left out stays."""

    url: Url | None = None
    events: Events | None = None
    nodes: Nodes | None = None
    headers: Headers | None = None
    description: Description | None = None
    enabled: bool | None = None


class TryModel(Shown):
    """One try to deliver."""

    at: Moment
    duration_ms: int
    status: int | None = Field(description="The status that was answered; null: no answer.")
    error: str | None = Field(description="Why there was no answer.")
    response: str = Field(description="The beginning of the answer's body, escaped for HTML.")


class DeliverySummary(Shown):
    """One message to one webhook."""

    id: str = Field(description="Also its `webhook-id` header, the same on every try.", examples=["msg_5f1c…"])
    type: str = Field(examples=["run.completed"])
    status: DeliveryStatus
    reason: str | None = Field(description="Why it failed.")
    run_id: str | None
    tries: int = Field(description="How many tries there were, of the last twenty.")
    last_status: int | None
    last_error: str | None
    next_try_at: Moment | None
    created_at: Moment | None


class DeliveryModel(DeliverySummary):
    """One message with what was sent, and all tries."""

    payload: Json = Field(description="The body.")
    history: list[TryModel] = Field(description="The tries, the oldest first; at most the last twenty.")


@api.get("/v1/webhooks", operation_id="list_webhooks", summary="The account's webhooks")
@needs(Permission.WEBHOOKS_READ)
def list_webhooks(
    caller: Caller,
    platform: ThePlatform,
    cursors: TheCursors,
    flow: Annotated[str | None, Query(max_length=64, description="Only those of this flow, by its id.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[WebhookModel]:
    """Those that stand in documents, and those that were made here."""
    listed = f"webhooks:{flow}"
    after = cursors.open(caller.account, listed, cursor) if cursor else None
    found = platform.webhooks.list(caller, FlowId(flow) if flow is not None else None, after, limit + 1)
    page, more = found[:limit], len(found) > limit
    next_cursor = cursors.seal(caller.account, listed, page[-1].id) if more else None
    return Page(items=[_model(endpoint, platform) for endpoint in page], next_cursor=next_cursor)


@api.post("/v1/webhooks", operation_id="create_webhook", summary="Make a webhook", status_code=201)
@needs(Permission.WEBHOOKS_WRITE)
def create_webhook(caller: Caller, platform: ThePlatform, wish: WebhookWish, response: Response) -> WebhookWithKey:
    """It hears of what happens from now on, in runs that begin from now on. Keep the `signing_key`."""
    made = platform.webhooks.create(
        caller,
        NewWebhook(wish.url, wish.events, wish.flow_id, wish.nodes, wish.headers, wish.description, wish.enabled),
    )
    response.headers["Location"] = f"/v1/webhooks/{made.endpoint.id}"
    return _with_key(made, platform)


@api.get("/v1/webhooks/{webhook_id}", operation_id="get_webhook", summary="One webhook")
@needs(Permission.WEBHOOKS_READ)
def get_webhook(caller: Caller, platform: ThePlatform, webhook_id: TheWebhook) -> WebhookModel:
    """Whether it works is told by `failing_since`, `disabled_reason` and its deliveries."""
    return _model(platform.webhooks.get(caller, webhook_id), platform)


@api.patch(
    "/v1/webhooks/{webhook_id}",
    operation_id="update_webhook",
    summary="Change a webhook, or switch it on or off",
    responses={409: {"description": "It stands in its flow's document, and more than `enabled` was given."}},
)
@needs(Permission.WEBHOOKS_WRITE)
def update_webhook(caller: Caller, platform: ThePlatform, webhook_id: TheWebhook, wish: WebhookPatch) -> WebhookModel:
    """Switching it on again gives it its five days anew. What happened while it was off is not sent later."""
    change = WebhookChange(wish.url, wish.events, wish.nodes, wish.headers, wish.description, wish.enabled)
    return _model(platform.webhooks.update(caller, webhook_id, change), platform)


@api.delete(
    "/v1/webhooks/{webhook_id}",
    operation_id="delete_webhook",
    summary="Remove a webhook",
    status_code=204,
    responses={409: {"description": "It stands in its flow's document."}},
)
@needs(Permission.WEBHOOKS_WRITE)
def delete_webhook(caller: Caller, platform: ThePlatform, webhook_id: TheWebhook) -> None:
    """What was not delivered yet is not sent any more."""
    platform.webhooks.delete(caller, webhook_id)


@api.post(
    "/v1/webhooks/{webhook_id}/rotate-secret",
    operation_id="rotate_webhook_secret",
    summary="Give a webhook a new signing key",
    responses={409: {"description": "It is signed with a secret of the vault: change that."}},
)
@needs(Permission.WEBHOOKS_WRITE)
def rotate_webhook_secret(caller: Caller, platform: ThePlatform, webhook_id: TheWebhook) -> WebhookWithKey:
    """The key before it signs as well for 24 hours, so that the receiver can change over without a gap."""
    return _with_key(platform.webhooks.rotate(caller, webhook_id), platform)


@api.post(
    "/v1/webhooks/{webhook_id}/test",
    operation_id="test_webhook",
    summary="Send a `webhook.test` event",
    status_code=202,
    responses={409: {"description": "The webhook is disabled."}},
)
@needs(Permission.WEBHOOKS_WRITE)
def test_webhook(caller: Caller, platform: ThePlatform, webhook_id: TheWebhook) -> DeliveryModel:
    """Read the delivery to see what became of it."""
    return _delivery(platform.webhooks.test(caller, webhook_id))


@api.get("/v1/webhooks/{webhook_id}/deliveries", operation_id="list_deliveries", summary="The deliveries to a webhook")
@needs(Permission.WEBHOOKS_READ)
def list_deliveries(
    caller: Caller,
    platform: ThePlatform,
    cursors: TheCursors,
    webhook_id: TheWebhook,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DeliverySummary]:
    """Newest first. They are kept for 7 days once they are over, unless a setting says otherwise."""
    listed = f"deliveries:{webhook_id}"
    after = cursors.open(caller.account, listed, cursor) if cursor else None
    found = platform.deliveries.list(caller, webhook_id, after, limit + 1)
    page, more = found[:limit], len(found) > limit
    next_cursor = cursors.seal(caller.account, listed, page[-1].key) if more else None
    return Page(items=[DeliverySummary(**_summary(delivery)) for delivery in page], next_cursor=next_cursor)


@api.get(
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}",
    operation_id="get_delivery",
    summary="One delivery with its tries",
)
@needs(Permission.WEBHOOKS_READ)
def get_delivery(
    caller: Caller, platform: ThePlatform, webhook_id: TheWebhook, delivery_id: TheDelivery
) -> DeliveryModel:
    """What was sent, when, and what the receiver said."""
    return _delivery(platform.deliveries.get(caller, webhook_id, delivery_id))


@api.post(
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
    operation_id="retry_delivery",
    summary="Send a delivery again",
    status_code=202,
    responses={409: {"description": "The webhook is disabled."}},
)
@needs(Permission.WEBHOOKS_WRITE)
def retry_delivery(
    caller: Caller, platform: ThePlatform, webhook_id: TheWebhook, delivery_id: TheDelivery
) -> DeliveryModel:
    """At once, and with the same `webhook-id`, whatever became of it before."""
    return _delivery(platform.deliveries.retry(caller, webhook_id, delivery_id))


def _model(endpoint: Endpoint, platform: ThePlatform) -> WebhookModel:
    return WebhookModel(**_fields(endpoint, platform))


def _with_key(made: WithKey, platform: ThePlatform) -> WebhookWithKey:
    return WebhookWithKey(**_fields(made.endpoint, platform), signing_key=made.key)


def _fields(endpoint: Endpoint, platform: ThePlatform) -> dict[str, Any]:
    old = [key.until for key in endpoint.live_keys(platform.engine.parts.clock.now()) if key.until is not None]
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "flow_id": endpoint.flow,
        "nodes": list(endpoint.nodes),
        "headers": dict(endpoint.headers),
        "description": endpoint.description,
        "source": "flow" if endpoint.document else "api",
        "secret": endpoint.secret,
        "signed": endpoint.signed,
        "old_key_until": moment(max(old, default=None)),
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": moment(endpoint.failing_since),
        "created_at": moment(endpoint.created_at),
        "updated_at": moment(endpoint.updated_at),
    }


def _summary(delivery: Delivery) -> dict[str, Any]:
    last = delivery.tries[-1] if delivery.tries else None
    return {
        "id": delivery.id,
        "type": delivery.type,
        "status": delivery.status,
        "reason": delivery.reason,
        "run_id": delivery.run,
        "tries": len(delivery.tries),
        "last_status": last.status if last else None,
        "last_error": last.error if last else None,
        "next_try_at": moment(delivery.next_try),
        "created_at": moment(delivery.created_at),
    }


def _delivery(delivery: Delivery) -> DeliveryModel:
    return DeliveryModel(
        **_summary(delivery), payload=orjson.loads(delivery.payload), history=[_try(one) for one in delivery.tries]
    )


def _try(one: Try) -> TryModel:
    at = moment(one.at)
    assert at is not None, "every try has its moment"
    return TryModel(at=at, duration_ms=one.duration, status=one.status, error=one.error, response=one.response)
