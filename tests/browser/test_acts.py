"""What people do in the console, in Chromium against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.person import Person, new_person
from tests.cli.remote.server import FAILING, HELLO, PASSWORD, WAITING, running

pytestmark = pytest.mark.xdist_group("browser")

YAML = "Document (YAML)"


def test_logs_in_after_a_wrong_password(person: Person) -> None:
    """A wrong password is told and can be mended; afterwards the flows are there."""
    page = person.page
    person.go("/")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill("not this one")
    person.press("Log in")
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    person.press("Log in")
    expect(page.get_by_role("heading", name="Flows", exact=True)).to_be_visible()
    person.press(person.username)
    with page.expect_response("**/v1/accounts") as told:
        page.get_by_role("menuitem", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert told.value.json() == {"open": False}
    expect(page.get_by_role("button", name="Sign up")).to_have_count(0)


def test_signs_up_where_that_is_open(browser: Browser, built_console: Path) -> None:
    """Somebody whom nobody knows makes an account, and is in it; a server that is closed does not offer it."""
    with running({"accounts.signup": "open"}) as server, new_person(browser, server) as person:
        page = person.page
        person.go("/")
        person.press("Sign up")
        page.get_by_label("Account").fill("Data team")
        page.get_by_label("User name").fill("ada@example.org")
        page.get_by_label("Password").fill(PASSWORD)
        page.locator("form").get_by_role("button", name="Sign up").click()
        expect(page.get_by_role("heading", name="No flows yet")).to_be_visible()
        expect(page.get_by_role("button", name="ada@example.org")).to_be_visible()


def test_builds_a_flow_on_the_canvas_and_runs_it(person: Person) -> None:
    """From a template, with one more node and its parameter: the text follows, and the run is watched to its end."""
    page = person.page
    person.log_in()
    person.go("/flows")
    person.press("New flow", page.locator("main header"))
    person.dialog("New flow").get_by_role("button", name="hello").click()
    canvas = page.get_by_role("region", name="Canvas")
    canvas.get_by_text("greet", exact=True).click()
    person.press("Add a node")
    palette = person.dialog("Add a node")
    palette.get_by_label("Search").fill("log")
    palette.get_by_role("button", name="log", exact=False).first.click()
    form = page.get_by_role("textbox", name="message")
    form.fill("It was said")
    form.blur()
    person.press("Close the form")
    text = page.get_by_role("textbox", name=YAML)
    expect(text).to_contain_text("It was said")
    expect(text).to_contain_text("next: log")
    expect(text).to_contain_text("# One step with an input")
    expect(canvas.get_by_text("log", exact=True).first).to_be_visible()
    person.press("Save")
    expect(page.get_by_text("revision 2", exact=True)).to_be_visible()
    person.press("Run")
    asked = person.dialog("Run hello")
    asked.get_by_label("Who is greeted").fill("Ada")
    person.press("Run", asked)
    person.status("completed")
    page.get_by_role("tab", name="Console").click()
    expect(page.get_by_role("log")).to_contain_text("It was said")


def test_sees_why_a_run_failed_and_redrives_it(person: Person) -> None:
    """The error stands over the run, its step and its attempts are looked into, and a redrive is attempt 2."""
    page = person.page
    person.log_in()
    person.go(f"/runs/{person.run(FAILING)}")
    person.status("failed")
    expect(page.get_by_role("alert").first).to_contain_text("no luck")
    person.choose("boom")
    step = page.get_by_role("complementary", name="Step")
    expect(step.get_by_role("alert")).to_contain_text("no luck")
    expect(step).to_contain_text("line 3 of the flow")
    person.press("Redrive…")
    person.press("Redrive", person.dialog("Redrive the run"))
    person.status("attempt 2")
    person.status("failed")


def test_approves_what_waits(person: Person) -> None:
    """A run that asks is answered in the page and ends."""
    page = person.page
    person.log_in()
    person.go(f"/runs/{person.run(WAITING)}")
    person.status("waiting")
    person.choose("ask")
    answer = page.get_by_role("region", name="Answer")
    expect(answer).to_contain_text("go?")
    answer.get_by_label("Comment").fill("fine")
    person.press("Approve", answer)
    person.status("completed")


def test_cancels_a_run(person: Person) -> None:
    """A live run is cancelled after the page has asked, and the list of runs says so, too."""
    page = person.page
    person.log_in()
    person.go(f"/runs/{person.run(WAITING)}")
    person.status("waiting")
    person.press("Cancel")
    person.press("Cancel the run", person.dialog("Cancel the run?"))
    person.status("cancelled")
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("table", name="Runs").get_by_text("cancelled", exact=True)).to_be_visible()


def test_cancels_and_redrives_many_runs(person: Person) -> None:
    """All that are listed are chosen at once; what fits them is done after the page has asked."""
    page = person.page
    person.log_in()
    flow = person.flow(WAITING)
    for _ in range(3):
        person.call("POST", f"/v1/flows/{flow}/runs", {})
    person.go("/runs")
    runs = page.get_by_role("table", name="Runs")
    expect(runs.get_by_text("waiting", exact=True).and_(page.locator("span"))).to_have_count(3)
    runs.get_by_label("Choose all runs").check()
    person.press("Cancel 3")
    person.press("Cancel 3 runs", person.dialog("Cancel 3 runs?"))
    expect(runs.get_by_text("cancelled", exact=True)).to_have_count(3)
    runs.get_by_label("Choose all runs").check()
    person.press("Redrive 3")
    person.press("Redrive 3 runs", person.dialog("Redrive 3 runs?"))
    expect(runs.get_by_text("cancelled", exact=True)).to_have_count(0)


def test_sets_and_deletes_a_secret(person: Person) -> None:
    """A secret is stored, its value is nowhere on the page, and it goes again."""
    page = person.page
    person.log_in()
    person.go("/secrets")
    person.press("New secret", page.locator("main header"))
    asked = person.dialog("New secret")
    asked.get_by_label("Key").fill("API_KEY")
    asked.get_by_label("Value").fill("hunter2-hunter2")
    person.press("Store", asked)
    row = page.get_by_role("row").filter(has_text="API_KEY")
    expect(row).to_be_visible()
    assert "hunter2" not in page.content()
    person.press("Actions for API_KEY")
    page.get_by_role("menuitem", name="Delete…").click()
    person.press("Delete", person.dialog("Delete API_KEY?"))
    expect(page.get_by_role("heading", name="No secrets yet")).to_be_visible()


def test_keeps_an_edit_when_the_session_ends(person: Person) -> None:
    """Whatever notices it, the page stays beneath the window that asks for the password, and the edit is saved."""
    page = person.page
    page.clock.install()
    person.log_in()
    person.go(f"/flows/{person.flow(HELLO)}")
    text = page.get_by_role("textbox", name=YAML)
    text.press("Control+Home")
    text.press_sequentially("# mine\n")
    expect(page.get_by_text("not saved")).to_be_visible()
    page.context.clear_cookies()
    # Somebody comes back to the page after lunch: it asks who they are.
    page.clock.fast_forward("01:00:00")
    page.evaluate("window.dispatchEvent(new Event('visibilitychange'))")
    asked = person.dialog("Your session has ended")
    page.keyboard.press("Escape")
    expect(asked.get_by_label("User name")).to_have_value(person.username)
    asked.get_by_label("Password").fill("not this one")
    person.press("Log in", asked)
    expect(asked.get_by_role("alert")).to_be_visible()
    asked.get_by_label("Password").fill(PASSWORD)
    person.press("Log in", asked)
    expect(asked).to_be_hidden()
    expect(text).to_contain_text("# mine")
    person.press("Save")
    expect(page.get_by_text("revision 2", exact=True)).to_be_visible()
    expect(page.get_by_text("not saved")).to_be_hidden()


def test_asks_before_an_edit_is_left(person: Person) -> None:
    """Going elsewhere with unsaved changes asks: one can stay, with the changes, or leave."""
    page = person.page
    person.log_in()
    person.go(f"/flows/{person.flow(HELLO)}")
    text = page.get_by_role("textbox", name=YAML)
    text.press("Control+Home")
    text.press_sequentially("# mine\n")
    expect(page.get_by_text("not saved")).to_be_visible()
    runs = page.get_by_role("navigation").get_by_role("link", name="Runs")
    runs.click()
    person.press("Stay", person.dialog("Leave without saving?"))
    expect(text).to_contain_text("# mine")
    runs.click()
    person.press("Leave", person.dialog("Leave without saving?"))
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
