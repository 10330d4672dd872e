"""Every view with things in it, as axe sees it: in both colour schemes, and narrow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.person import Person, new_person
from tests.cli.remote.server import FAILING, PASSWORD, WAITING, Running

pytestmark = pytest.mark.xdist_group("browser")

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = os.environ.get("CHECK_PICTURES")
"""A folder for pictures of all views, for people who want to look at them."""

WAYS = """
metadata: {name: an-unusually-long-name-for-a-flow-that-settles-invoices, labels: {team: finance, tier: gold}}
inputs: {type: object, required: [amount], properties: {amount: {type: number}, note: {type: string, default: none}}}
nodes:
  check: {type: condition, params: {if: "${input.amount > 10}"}, next: {true: each, false: small}}
  each: {type: transform, foreach: {items: "${[1, 2, 3]}"}, params: {value: "${item}"}, next: done}
  small: {type: log, params: {message: small}, next: done}
  done: {type: log, params: {message: "a rather long message about ${input.amount} that goes on and on and on for long"}}
"""

PLACES = (
    *("flows", "runs", "schedules", "webhooks", "secrets", "modules"),
    *("account", "usage", "tokens", "users", "plugins", "audit"),
)
RUN_AXE = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
  .filter(one => ['serious', 'critical'].includes(one.impact))
  .map(one => `${one.id}: ${one.nodes.slice(0, 5).map(node => `${node.html.slice(0, 200)} [${node.target}] ${node.failureSummary}`).join(' | ')}`)"""
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def filled(person: Person) -> dict[str, str]:
    """Some of everything in the account; answers the ids that paths need."""
    call = person.call
    flow = person.flow(WAYS)
    run = call("POST", f"/v1/flows/{flow}/runs", {"input": {"amount": 12}})["id"]
    failed, waiting = person.run(FAILING), person.run(WAITING)
    call("POST", "/v1/schedules", {"flow_id": flow, "cron": "0 9 * * *", "input": {"amount": 1}})
    call("PUT", "/v1/secrets/API_KEY", {"value": "a value nobody sees"})
    call(
        "PUT", "/v1/modules/resize", {"content": "AGFzbQEAAAABBAFgAAADAgEABQMBAAEHEwIGbWVtb3J5AgAGX3N0YXJ0AAAKBAECAAs="}
    )
    webhook = call("POST", "/v1/webhooks", {"url": "http://127.0.0.1:9/", "events": ["run.failed"], "flow_id": flow})[
        "id"
    ]
    call("POST", f"/v1/webhooks/{webhook}/test")
    call("POST", "/v1/users", {"name": f"{person.username}-viewer", "password": PASSWORD, "role": "viewer"})
    call("POST", "/v1/tokens", {"name": "of a robot with a long name", "scopes": ["flows:read"]})
    return {"flow": flow, "run": run, "failed": failed, "waiting": waiting, "webhook": webhook}


def settled(page: Page) -> None:
    """Wait until the view has come: its heading is there, and nothing is being loaded any more."""
    expect(page.locator("main h1")).to_be_visible()
    expect(page.locator("main").get_by_text("Loading", exact=True)).to_have_count(0)


def views(person: Person, ids: dict[str, str]) -> Iterator[str]:
    """Walk through the views; each is there, with its things, when its name is answered."""
    page = person.page
    for place in PLACES:
        person.go(f"/{place}")
        settled(page)
        yield place
    person.go(f"/webhooks/{ids['webhook']}")
    settled(page)
    yield "deliveries"
    person.go(f"/flows/{ids['flow']}")
    settled(page)
    node = page.get_by_role("region", name="Canvas").get_by_text("small", exact=True)
    expect(node).to_be_visible()
    yield "flow"
    node.click()
    expect(page.get_by_role("textbox", name="message")).to_be_visible()
    yield "node"
    person.press("Run")
    expect(person.dialog("Run an-unusually")).to_be_visible()
    yield "input"
    for name, of, status, on in (("run", "run", "completed", "check"), ("failure", "failed", "failed", "boom")):
        person.go(f"/runs/{ids[of]}")
        person.status(status)
        person.choose(on)
        expect(page.get_by_role("complementary", name="Step").get_by_role("heading", name="Input")).to_be_visible()
        yield name
    page.get_by_role("tab", name="Console").click()
    expect(page.get_by_role("tabpanel", name="Console")).to_be_visible()
    yield "console"
    person.go(f"/runs/{ids['waiting']}")
    person.status("waiting")
    person.choose("ask")
    expect(page.get_by_role("region", name="Answer")).to_be_visible()
    yield "approval"


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_views_are_for_everybody(browser: Browser, server: Running, scheme: Literal["dark", "light"]) -> None:
    """Axe finds nothing serious or critical in any view."""
    # Its policy lets the page load no script of ours: the browser brings this one into it.
    with new_person(browser, server, scheme, reduced_motion="reduce") as person:
        person.page.add_init_script(path=AXE)
        found: dict[str, Any] = {}
        person.go("/")
        expect(person.page.get_by_role("heading", name="Log in")).to_be_visible()
        found["login"] = person.page.evaluate(RUN_AXE)
        picture(person.page, f"login-{scheme}")
        person.log_in()
        ids = filled(person)
        for name in views(person, ids):
            found[name] = person.page.evaluate(RUN_AXE)
            picture(person.page, f"{name}-{scheme}")
        assert {name: what for name, what in found.items() if what} == {}


def test_views_fit_a_telephone(browser: Browser, server: Running) -> None:
    """At 390 pixels no view is wider than the page, except within parts that scroll by themselves."""
    with new_person(browser, server, reduced_motion="reduce") as person:
        person.page.set_viewport_size({"width": 390, "height": 844})
        person.log_in()
        ids = filled(person)
        wide: dict[str, int] = {}
        for name in views(person, ids):
            wide[name] = person.page.evaluate(SIDEWAYS)
            picture(person.page, f"{name}-narrow")
        assert {name: by for name, by in wide.items() if by > 0} == {}
