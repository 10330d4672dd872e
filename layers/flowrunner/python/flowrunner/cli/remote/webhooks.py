"""`flowrunner webhooks`: who is told of what happens, and what became of each message."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowrunner.cli.exits import UsageError, reported
from flowrunner.cli.remote.flows import flow_id, with_flow_names
from flowrunner.cli.remote.options import Every, Json, Limit, Profile, Yes, complete_flow, confirm

if TYPE_CHECKING:
    from flowrunner.cli.remote.client import Client

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Outbound webhooks, which tell of runs.")

Webhook = Annotated[str, typer.Argument(help="The webhook's id.")]
Delivery = Annotated[str, typer.Argument(help="The delivery's id, msg_….")]
OfFlow = Annotated[str | None, typer.Option("--flow", help="Only of this flow.", autocompletion=complete_flow)]
Event = Annotated[list[str] | None, typer.Option("--event", "-e", help="Like run.failed; may be repeated.")]
Node = Annotated[list[str] | None, typer.Option("--node", help="Only steps of this node; may be repeated.")]
Header = Annotated[list[str] | None, typer.Option("--header", "-H", help="Name: value, sent along; may be repeated.")]
Description = Annotated[str | None, typer.Option(help="One line, for people.")]
Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Switch it on or off.")]

DELIVERY_COLUMNS = (
    ("ID", "id"),
    ("TYPE", "type"),
    ("STATUS", "status"),
    ("TRIES", "tries"),
    ("LAST", "last_status"),
    ("ERROR", "last_error"),
    ("REASON", "reason"),
    ("RUN", "run_id"),
)


@app.command("list")
@reported
def list_webhooks(
    flow: OfFlow = None, limit: Limit = 50, every: Every = False, json: Json = False, profile: Profile = None
) -> None:
    """List the webhooks."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import moment, show_list

    with connect(profile) as client:
        wanted = None if flow is None else flow_id(client, flow)
        found = collect(client, "/v1/webhooks", limit, every=every, flow=wanted)
        if not json:
            found = replace(found, items=with_flow_names(client, found.items))
    columns = (
        ("ID", "id"),
        ("URL", "url"),
        ("EVENTS", "events"),
        ("FLOW", "flow"),
        ("ENABLED", "enabled"),
        ("FAILING SINCE", "failing_since", moment),
        ("SOURCE", "source"),
    )
    show_list(found, columns, as_json=json)


@app.command()
@reported
def create(
    url: Annotated[str, typer.Argument(help="Where events are sent.")],
    event: Event = None,
    flow: OfFlow = None,
    node: Node = None,
    header: Header = None,
    description: Description = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Make a webhook; its signing key is shown this once."""
    from flowrunner.cli.remote.client import connect

    wish = _wish(url, event, node, header, description)
    if not event:
        raise UsageError("name at least one event: --event run.failed")
    with connect(profile) as client:
        if flow is not None:
            wish["flow_id"] = flow_id(client, flow)
        made = client.post("/v1/webhooks", wish)
        _show(client, made, as_json=json)


@app.command()
@reported
def get(webhook: Webhook, json: Json = False, profile: Profile = None) -> None:
    """Show a webhook."""
    from flowrunner.cli.remote.client import at, connect

    with connect(profile) as client:
        found = client.get(at("/v1/webhooks/{}", webhook))
        _show(client, found, as_json=json)


@app.command()
@reported
def update(
    webhook: Webhook,
    url: Annotated[str | None, typer.Option(help="Where events are sent.")] = None,
    event: Event = None,
    node: Node = None,
    header: Header = None,
    description: Description = None,
    enabled: Enabled = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Change what is given of a webhook; lists are replaced."""
    from flowrunner.cli.remote.client import at, connect

    wish = _wish(url, event, node, header, description)
    if enabled is not None:
        wish["enabled"] = enabled
    if not wish:
        raise UsageError("nothing was given to change")
    with connect(profile) as client:
        found = client.send("PATCH", at("/v1/webhooks/{}", webhook), body=wish).json()
        _show(client, found, as_json=json)


@app.command()
@reported
def delete(webhook: Webhook, yes: Yes = False, json: Json = False, profile: Profile = None) -> None:
    """Delete a webhook; what was not delivered yet is not sent."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    confirm(f"Delete the webhook {webhook}?", yes=yes)
    with connect(profile) as client:
        client.send("DELETE", at("/v1/webhooks/{}", webhook))
    say(f"deleted {webhook}", {"id": webhook, "deleted": True}, as_json=json)


@app.command()
@reported
def deliveries(
    webhook: Webhook, limit: Limit = 50, every: Every = False, json: Json = False, profile: Profile = None
) -> None:
    """List what was sent to a webhook, newest first."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import moment, show_list

    with connect(profile) as client:
        found = collect(client, at("/v1/webhooks/{}/deliveries", webhook), limit, every=every)
    show_list(found, (*DELIVERY_COLUMNS, ("NEXT TRY", "next_try_at", moment)), as_json=json)


@app.command()
@reported
def delivery(webhook: Webhook, delivery: Delivery, json: Json = False, profile: Profile = None) -> None:
    """Show a delivery: what was sent, and what the receiver answered."""
    from flowrunner.cli.remote.client import at, connect

    with connect(profile) as client:
        found = client.get(at("/v1/webhooks/{}/deliveries/{}", webhook, delivery))
    _show_delivery(found, as_json=json)


@app.command()
@reported
def retry(webhook: Webhook, delivery: Delivery, json: Json = False, profile: Profile = None) -> None:
    """Send a delivery again, at once."""
    from flowrunner.cli.remote.client import at, connect

    with connect(profile) as client:
        found = client.post(at("/v1/webhooks/{}/deliveries/{}/retry", webhook, delivery))
    _show_delivery(found, as_json=json)


@app.command("rotate-secret")
@reported
def rotate_secret(webhook: Webhook, json: Json = False, profile: Profile = None) -> None:
    """Give a webhook a new signing key; the old one signs beside it for 24 hours."""
    from flowrunner.cli.remote.client import at, connect

    with connect(profile) as client:
        found = client.post(at("/v1/webhooks/{}/rotate-secret", webhook))
        _show(client, found, as_json=json)


@app.command("test")
@reported
def send_test(webhook: Webhook, json: Json = False, profile: Profile = None) -> None:
    """Send a webhook.test event."""
    from flowrunner.cli.remote.client import at, connect

    with connect(profile) as client:
        found = client.post(at("/v1/webhooks/{}/test", webhook))
    _show_delivery(found, as_json=json)
    if not json:
        print(f"how it went: flowrunner webhooks delivery {webhook} {found['id']}", file=sys.stderr)


def _wish(
    url: str | None,
    event: list[str] | None,
    node: list[str] | None,
    header: list[str] | None,
    description: str | None,
) -> dict[str, Any]:
    headers = None
    if header:
        headers = {}
        for text in header:
            name, colon, value = text.partition(":")
            if not colon:
                raise UsageError(f"--header {text[:60]}: write it as Name: value")
            headers[name.strip()] = value.strip()
    given = {"url": url, "events": event, "nodes": node, "headers": headers, "description": description}
    return {name: value for name, value in given.items() if value}


def _show(client: Client, webhook: dict[str, Any], *, as_json: bool) -> None:
    from flowrunner.cli.remote.output import moment, show_fields

    columns = (
        ("webhook", "id"),
        ("url", "url"),
        ("events", "events"),
        ("flow", "flow"),
        ("nodes", "nodes"),
        ("headers", "headers"),
        ("description", "description"),
        ("enabled", "enabled"),
        ("disabled because", "disabled_reason"),
        ("failing since", "failing_since", moment),
        ("signed", "signed"),
        ("secret", "secret"),
        ("old key until", "old_key_until", moment),
        ("source", "source"),
        ("signing key", "signing_key"),
    )
    show_fields(webhook if as_json else with_flow_names(client, [webhook])[0], columns, as_json=as_json)
    if webhook.get("signing_key") and not as_json:
        print("the signing key is not shown again", file=sys.stderr)


def _show_delivery(delivery: dict[str, Any], *, as_json: bool) -> None:
    from flowrunner.cli.remote.lists import Found
    from flowrunner.cli.remote.output import as_json_text, duration, moment, show_fields, show_list

    columns = (*DELIVERY_COLUMNS, ("next try", "next_try_at", moment), ("payload", "payload", as_json_text))
    show_fields(delivery, columns, as_json=as_json)
    if as_json or not delivery["history"]:
        return
    print()
    tries = (
        ("TRIED", "at", moment),
        ("STATUS", "status"),
        ("TOOK", "duration_ms", duration),
        ("ERROR", "error"),
        ("ANSWER", "response"),
    )
    show_list(Found(delivery["history"]), tries, as_json=False)
