"""What people manage in the console: each view's main acts, in Chromium against a real server."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.person import PATIENCE_MS, Person
from tests.cli.remote.server import PASSWORD, Running, running
from tests.servers import Received, RecordingServer, Reply

pytestmark = pytest.mark.xdist_group("browser")

MODULE = base64.b64decode("AGFzbQEAAAABBAFgAAADAgEABQMBAAEHEwIGbWVtb3J5AgAGX3N0YXJ0AAAKBAECAAs=")
SECRETIVE = 'metadata: {name: secretive}\nnodes:\n  say: {type: log, params: {message: "${secrets.API_KEY}"}}\n'
SCHEDULED = """
metadata: {name: nightly}
inputs: {type: object, required: [scope], properties: {scope: {type: string}}}
triggers:
  - {type: schedule, cron: "0 3 * * *", timezone: Europe/Berlin, input: {scope: daily}}
nodes:
  write: {type: log, params: {message: "report ${input.scope}"}}
"""
HOOKED = """
metadata: {name: orders}
inputs: {type: object, required: [order_id]}
triggers:
  - {type: webhook, path: orders/new}
nodes:
  keep: {type: log, params: {message: "order ${input.order_id}"}}
"""


@dataclass
class Shop:
    """Whoever is told by webhooks: while it is shut it answers 503."""

    shut: bool = True
    receiver: RecordingServer = field(init=False)

    def __post_init__(self) -> None:
        self.receiver = RecordingServer(self.answer)

    def answer(self, _request: Received) -> Reply:
        return Reply(503, b"we are closed") if self.shut else Reply(204)


@pytest.fixture(scope="module")
def server(built_console: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that may send to this machine, with a plugin that works and one that does not."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "slugify.js").write_text("(text) => text.toLowerCase().replaceAll(' ', '-')", encoding="utf-8")
    (folder / "broken.py").write_text("def nothing(:\n", encoding="utf-8")
    with running({"egress.allow": ["127.0.0.0/8"], "plugins.folder": str(folder)}) as made:
        yield made


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A receiver of webhooks, shut at first."""
    made = Shop()
    with made.receiver:
        yield made


def row(person: Person, text: str) -> Locator:
    """The row of a table with this text."""
    return person.page.get_by_role("row").filter(has_text=text)


def choose(person: Person, menu: str, item: str) -> None:
    """Choose something in a menu. A list that is read again may take the menu along: then once more."""
    for patience in (2_000, 4_000, PATIENCE_MS):
        with suppress(AssertionError):
            person.press(menu)
            wanted = person.page.get_by_role("menuitem", name=item)
            expect(wanted).to_be_visible(timeout=patience)
            wanted.click()
            return
    raise AssertionError(f"{menu} has no {item}")


def test_replaces_a_secret_that_was_used(person: Person) -> None:
    """That a run has read it is told; a new value is version 2; an import adds more, or nothing with what is wrong."""
    page = person.page
    person.log_in()
    person.call("PUT", "/v1/secrets/API_KEY", {"value": "hunter2-hunter2"})
    person.go(f"/runs/{person.run(SECRETIVE)}")
    person.status("completed")
    person.go("/secrets")
    expect(row(person, "API_KEY")).not_to_contain_text("never")
    choose(person, "Actions for API_KEY", "Replace…")
    asked = person.dialog("Replace API_KEY")
    asked.get_by_label("Value").fill("another-value")
    person.press("Store", asked)
    expect(row(person, "API_KEY").get_by_role("cell", name="2", exact=True)).to_be_visible()
    person.press("Import")
    asked = person.dialog("Import secrets")
    asked.get_by_label("Secrets", exact=True).fill("MAIL=some-password\n1BAD=some-value")
    person.press("Import", asked)
    expect(asked.get_by_role("alert")).to_contain_text("line 2")
    file = {"name": "more.json", "mimeType": "application/json", "buffer": b'{"MAIL": "some-password"}'}
    asked.get_by_label("From a file").set_input_files(file)  # type: ignore[arg-type]  # a dict of that shape
    person.press("Import", asked)
    expect(row(person, "MAIL")).to_be_visible()
    assert "some-password" not in page.content()


def test_makes_pauses_and_runs_a_schedule(person: Person) -> None:
    """Its next five times are told, what keeps it from being made as well; it pauses, and runs now when asked to."""
    page = person.page
    person.log_in()
    person.flow('metadata: {name: tidy}\nnodes:\n  say: {type: log, params: {message: "${input.of}"}}\n')
    person.go("/schedules")
    person.press("New schedule", page.locator("main header"))
    asked = person.dialog("New schedule")
    asked.get_by_label("Flow").select_option("tidy")
    asked.get_by_label("Cron").fill("61 * * * *")
    asked.get_by_label("Time zone").fill("Europe/Berlin")
    asked.get_by_label("Input").fill('{"of": "the attic"}')
    person.press("Save", asked)
    expect(asked.get_by_role("alert")).to_contain_text("cron")
    asked.get_by_label("Cron").fill("0 9 * * *")
    person.press("Save", asked)
    menu = "Actions for the schedule of tidy"
    choose(person, menu, "Details…")
    details = person.dialog("Schedule of tidy")
    expect(details.get_by_role("list", name="Next times").get_by_role("listitem")).to_have_count(5)
    expect(details).to_contain_text("the attic")
    person.press("Close", details)
    choose(person, menu, "Pause")
    expect(row(person, "tidy")).to_contain_text("paused")
    choose(person, menu, "Run now")
    person.status("completed")
    page.get_by_role("tab", name="Console").click()
    expect(page.get_by_role("log")).to_contain_text("the attic")


def test_a_flows_own_schedule_is_only_paused(person: Person) -> None:
    """What stands in a document is changed there, which the menu says; it can be paused and goes on all the same."""
    person.log_in()
    person.flow(SCHEDULED)
    person.go("/schedules")
    menu = "Actions for the schedule of nightly"
    choose(person, menu, "Pause")
    expect(row(person, "nightly")).to_contain_text("paused")
    person.press(menu)
    change = person.page.get_by_role("menuitem", name="Change…")
    expect(change).to_be_disabled()
    expect(change).to_contain_text("It stands in its flow")
    person.page.keyboard.press("Escape")
    choose(person, menu, "Resume")
    expect(row(person, "nightly")).to_contain_text("active")


def test_an_inbound_webhook_starts_runs(person: Person) -> None:
    """The address that the view shows is one that can be called, and the run is in the list."""
    page = person.page
    person.log_in()
    person.flow(HOOKED)
    person.go("/webhooks")
    shown = row(person, "orders").locator("code")
    expect(shown).to_have_text(re.compile(r"^POST \S+/orders/new$"))
    method, address = (shown.text_content() or "").split()
    url = address if address.startswith("http") else person.url + address
    answer = page.request.fetch(url, method=method, data={"order_id": "A-17"})
    assert answer.status == 202, answer.text()
    person.go(f"/runs/{answer.json()['run_id']}")
    person.status("completed")
    page.get_by_role("tab", name="Console").click()
    expect(page.get_by_role("log")).to_contain_text("order A-17")


def test_sends_again_what_could_not_be_delivered(person: Person, shop: Shop) -> None:
    """The receiver's answer is shown; later it is sent once more, as the same message and with its headers."""
    page = person.page
    person.log_in()
    person.go("/webhooks")
    person.press("New webhook", page.locator("main header"))
    asked = person.dialog("New webhook")
    asked.get_by_label("Address").fill(shop.receiver.url)
    asked.get_by_label("Headers").fill("X-Team: orders")
    person.press("Make", asked)
    key = person.dialog("Signing key")
    expect(key).to_contain_text("whsec_")
    page.keyboard.press("Escape")
    person.press("Done", key)
    assert "whsec_" not in page.content()
    choose(person, f"Actions for {shop.receiver.url}", "Send a test")
    page.get_by_role("link", name=shop.receiver.url).click()
    person.press("webhook.test")
    delivery = person.dialog("Delivery")
    expect(delivery.get_by_text("503", exact=True).first).to_be_visible()
    expect(delivery).to_contain_text("we are closed")
    person.press("Close", delivery)
    shop.shut = False
    again = page.get_by_role("button", name=re.compile("^Send (now|again)$"))
    again.click()
    expect(row(person, "webhook.test")).to_contain_text("delivered")
    tries = row(person, "webhook.test").get_by_role("cell").nth(2)
    before = tries.inner_text()
    again.click()
    expect(tries).not_to_have_text(before)
    assert len({request.headers["webhook-id"] for request in shop.receiver.requests}) == 1
    assert {request.headers["x-team"] for request in shop.receiver.requests} == {"orders"}


def test_makes_a_token_and_revokes_it(person: Person) -> None:
    """It is shown once, does what its scopes say and nothing else, and nothing at all after it was revoked."""
    page = person.page
    person.log_in()
    person.go("/tokens")
    person.press("New token", page.locator("main header"))
    asked = person.dialog("New token")
    asked.get_by_label("Name").fill("robot")
    asked.get_by_label("Expires").select_option("In 30 days")
    asked.get_by_label("runs:write").uncheck()
    person.press("Make", asked)
    shown = person.dialog("The new token")
    token = shown.get_by_label("The token", exact=True).inner_text()
    person.press("Done", shown)
    expect(row(person, "robot")).to_contain_text("flows:read")
    assert token not in page.content()

    def status(method: str, path: str) -> int:
        bearer = {"Authorization": f"Bearer {token}"}
        return page.request.fetch(person.url + path, method=method, headers=bearer, data=None).status

    assert [status("GET", "/v1/flows"), status("GET", "/v1/secrets")] == [200, 403]
    person.press("Revoke robot")
    person.press("Revoke", person.dialog("Revoke robot?"))
    expect(page.get_by_role("heading", name="No tokens yet")).to_be_visible()
    assert status("GET", "/v1/flows") == 401


def test_makes_a_user_and_shuts_them_out(person: Person) -> None:
    """With another role they see less, and nothing is offered that they may not do; locked out, they are refused."""
    page, name = person.page, f"{person.username}-vera"
    person.log_in()
    person.go("/users")
    person.press("New user", page.locator("main header"))
    asked = person.dialog("New user")
    asked.get_by_label("User name").fill(name)
    asked.get_by_label("Password").fill(PASSWORD)
    person.press("Add", asked)
    role = page.get_by_label(f"Role of {name}")
    expect(role).to_have_value("editor")
    with page.expect_response(lambda answer: answer.request.method == "PATCH"):
        role.select_option("viewer")
    vera = page.context.browser.new_context()  # type: ignore[union-attr]  # there is a browser
    theirs = Person(vera.new_page(), person.url, name)
    theirs.log_in()
    theirs.go("/webhooks")
    expect(theirs.page.get_by_role("heading", name="No outbound webhooks yet")).to_be_visible()
    expect(theirs.page.get_by_role("button", name="New webhook")).to_have_count(0)
    expect(theirs.page.get_by_role("link", name="Secrets")).to_have_count(0)
    theirs.go("/secrets")
    expect(theirs.page.get_by_role("alert")).to_contain_text("secrets:read")
    choose(person, f"Actions for {name}", "Lock out")
    expect(row(person, name)).to_contain_text("locked out")
    assert vera.request.get(f"{person.url}/v1/flows").status == 401
    vera.close()


def test_shows_what_was_used(person: Person, server: Running) -> None:
    """Runs, steps and the cost of each day as charts, which are tables as well; and by flow."""
    page = person.page
    person.log_in()
    person.go(f"/runs/{person.run(HOOKED, order_id='A-1')}")
    person.status("completed")
    person.run(HOOKED.replace("orders", "others"), order_id="A-2")
    runs = page.locator("main dl dd").first
    for patience in (1_000, 4_000, 16_000, PATIENCE_MS):
        server.platform.usage.flush()
        person.go("/usage")
        with suppress(AssertionError):
            expect(runs).to_have_text("2", timeout=patience)
            break
    for chart in ("Runs by day", "Steps by day", "Estimated cost by day"):
        expect(page.get_by_role("heading", name=chart)).to_be_visible()
        expect(page.get_by_role("table", name=chart).get_by_role("row")).to_have_count(30)
    by_flow = page.get_by_role("table", name="Usage by flow")
    expect(by_flow.get_by_role("row")).to_have_count(3)
    page.get_by_label("Flow", exact=True).select_option("others")
    page.get_by_label("Span").select_option("A year")
    expect(by_flow.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("table", name="Steps by week").get_by_role("row")).to_have_count(53)


def test_reads_and_verifies_the_audit_log(person: Person) -> None:
    """Records by what they are about, one in full; the chain is whole, also against a head that was noted down."""
    page = person.page
    person.log_in()
    person.call("PUT", "/v1/secrets/API_KEY", {"value": "hunter2-hunter2"})
    person.go("/audit")
    page.get_by_label("Action").fill("secret")
    table = page.get_by_role("table", name="Audit records")
    expect(table.get_by_role("row")).to_have_count(2)
    person.press("secret.written")
    expect(page.get_by_role("dialog", name=re.compile("^Record"))).to_contain_text("API_KEY")
    page.keyboard.press("Escape")
    page.get_by_label("Who").fill("nobody")
    expect(page.get_by_role("heading", name="No records are like that")).to_be_visible()
    person.press("Verify the chain…")
    asked = person.dialog("Verify the chain")
    person.press("Verify", asked)
    expect(asked.get_by_text("records are whole")).to_be_visible()
    head = asked.locator("dd code").inner_text()
    asked.get_by_label("A head that you noted down").fill(head[:-1] + ("0" if head[-1] != "0" else "1"))
    person.press("Verify", asked)
    expect(asked.get_by_text("The chain is broken")).to_be_visible()
    asked.get_by_label("A head that you noted down").fill(head)
    person.press("Verify", asked)
    expect(asked.get_by_text("records are whole")).to_be_visible()


def test_lists_plugins_with_what_is_wrong_and_disables_one(person: Person) -> None:
    """One that cannot be loaded says why; a disabled one is so for good."""
    page = person.page
    person.log_in()
    person.go("/plugins")
    expect(row(person, "broken")).to_contain_text("not loaded")
    expect(row(person, "broken")).to_contain_text("invalid syntax")
    enabled = page.get_by_label("slugify is enabled")
    expect(enabled).to_be_checked()
    enabled.click()
    expect(row(person, "slugify")).to_contain_text("Disabled")
    page.reload()
    expect(enabled).not_to_be_checked()


def test_keeps_a_module_and_deletes_it(person: Person) -> None:
    """It takes its name from the file; what is no module is refused with the reason."""
    page = person.page
    person.log_in()
    person.go("/modules")
    person.press("New module", page.locator("main header"))
    asked = person.dialog("New module")
    for content in (b"(module)", MODULE):
        file = {"name": "resize.wasm", "mimeType": "application/wasm", "buffer": content}
        asked.get_by_label("File").set_input_files(file)  # type: ignore[arg-type]  # a dict of that shape
        person.press("Store", asked)
        if content != MODULE:
            expect(asked.get_by_role("alert")).to_contain_text("no WebAssembly module")
    expect(row(person, "resize")).to_contain_text("50 B")
    choose(person, "Actions for resize", "Delete…")
    person.press("Delete", person.dialog("Delete resize?"))
    expect(page.get_by_role("heading", name="No modules yet")).to_be_visible()


def test_looks_after_the_account(person: Person) -> None:
    """It is renamed, a session elsewhere is ended, one's password changed; and deleted with its name typed."""
    page = person.page
    elsewhere = page.context.browser.new_context()  # type: ignore[union-attr]  # there is a browser
    login = {"username": person.username, "password": PASSWORD}
    assert elsewhere.request.post(f"{person.url}/v1/session", data=login).ok
    person.log_in()
    person.go("/account")
    person.press("Rename…")
    asked = person.dialog("Rename the account")
    asked.get_by_label("Name").fill("Orders & Co")
    person.press("Rename", asked)
    expect(page.locator("main dl")).to_contain_text("Orders & Co")
    person.press("End")
    expect(page.get_by_role("table", name="Your sessions").get_by_role("row")).to_have_count(2)
    assert elsewhere.request.get(f"{person.url}/v1/session").status == 401
    elsewhere.close()
    person.press("Change your password…")
    asked = person.dialog(f"Password of {person.username}")
    asked.get_by_label("Present password").fill(PASSWORD)
    asked.get_by_label("New password").fill("a much longer password")
    person.press("Change", asked)
    expect(asked).to_be_hidden()
    person.press("Delete…")
    asked = person.dialog("Delete the account?")
    for typed in ("Orders", "Orders & Co"):
        asked.get_by_role("textbox").fill(typed)
        person.press("Delete everything", asked)
        if typed == "Orders":
            expect(asked.get_by_role("alert")).to_contain_text("confirm")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_list_has_pages_and_can_be_asked_for_again(person: Person) -> None:
    """What the server cannot answer is told with a way to try again; a hundred rows are not all there are."""
    page = person.page
    person.log_in()
    text = "\n".join(f"KEY_{number:03}=some-password" for number in range(103))
    person.call("POST", "/v1/secrets/import", {"format": "dotenv", "text": text})
    away = "**/v1/secrets?**"
    refusal = {"error": {"code": "FORBIDDEN", "message": "not for you", "correlation_id": "c-1"}}
    page.route(away, lambda route: route.fulfill(status=403, json=refusal))
    person.go("/secrets")
    expect(page.get_by_role("alert")).to_contain_text("not for you")
    page.unroute(away)
    person.press("Try again")
    rows = page.get_by_role("table", name="Secrets").get_by_role("row")
    expect(rows).to_have_count(101)
    person.press("Show more")
    expect(rows).to_have_count(104)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
