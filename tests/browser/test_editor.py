"""Writing a flow in the console, in Chromium against a real server: with help, and without a mouse."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.person import Person
from tests.cli.remote.server import FAILING

pytestmark = pytest.mark.xdist_group("browser")

WRITTEN = """
metadata: {name: written}
nodes:
  make: {type: transform, params: {value: {user: {name: Ada}}}, next: say}
  say: {type: log, params: {message: hi}} # as it was
"""
YAML = "Document (YAML)"


def test_writes_an_expression_with_what_the_last_run_had(person: Person) -> None:
    """Its fields are offered, its value is shown, scripts have them too, and Ctrl+S keeps what stands in the field."""
    page = person.page
    person.log_in()
    flow = person.flow(WRITTEN)
    person.call("POST", f"/v1/flows/{flow}/runs?wait=20s", {})
    person.go(f"/flows/{flow}")
    page.get_by_role("region", name="Canvas").get_by_text("say", exact=True).click()
    form = page.get_by_role("region", name="Node say")
    field = form.get_by_role("textbox", name="message")
    field.click()
    field.press("End")
    field.press_sequentially(" ${prev.user.n")
    page.get_by_role("option", name="name").click()
    expect(form.locator("[data-preview]").first).to_contain_text("hi Ada")
    person.press("Instead (exec)", form)
    script = form.get_by_role("textbox", name="Instead (exec)")
    script.press_sequentially("return nodes.make.output.user.")
    page.get_by_role("option", name="name").click()
    script.press("Control+s")
    expect(page.get_by_text("revision 2", exact=True)).to_be_visible()
    person.press("Close the form", form)
    text = page.get_by_role("textbox", name=YAML)
    expect(text).to_contain_text("hi ${prev.user.name}")
    expect(text).to_contain_text("return nodes.make.output.user.name")


def test_copies_pastes_and_deletes_nodes_by_the_keyboard(person: Person) -> None:
    """Several at once, each time one thing to undo; the lines of the others stay as they were."""
    page = person.page
    person.log_in()
    person.go(f"/flows/{person.flow(WRITTEN)}")
    canvas = page.get_by_role("region", name="Canvas")
    nodes = canvas.locator(".react-flow__node")
    canvas.get_by_text("make", exact=True).click()
    page.keyboard.press("Control+a")
    expect(page.get_by_role("heading", name="2 nodes")).to_be_visible()
    page.keyboard.press("Control+c")
    page.keyboard.press("Control+v")
    expect(canvas.get_by_text("say_2", exact=True)).to_be_visible()
    page.keyboard.press("Delete")
    expect(nodes).to_have_count(2)
    page.keyboard.press("Control+z")
    expect(nodes).to_have_count(4)
    page.keyboard.press("Control+z")
    expect(nodes).to_have_count(2)
    page.keyboard.press("Control+y")
    expect(nodes).to_have_count(4)
    text = page.get_by_role("textbox", name=YAML)
    canvas.get_by_text("make_2", exact=True).click()
    form = page.get_by_role("region", name="Node make_2")
    form.get_by_label("Next node").select_option("say")
    person.press("Connect", form)
    expect(form.get_by_label("Next node")).to_be_focused()
    person.press("Close the form", form)
    expect(text).to_contain_text("next: [say_2, say]")
    expect(text).to_contain_text("# as it was")
    expect(page.get_by_role("region", name="Problems")).to_contain_text("No problems.")
    person.press("Add a node")
    search = person.dialog("Add a node").get_by_label("Search")
    expect(search).to_be_focused()
    search.fill("script")
    search.press("Enter")
    expect(page.get_by_role("region", name="Node script")).to_be_visible()
    expect(page.get_by_role("button", name="Add a node")).to_be_focused()
    page.get_by_role("toolbar", name="Canvas").get_by_role("button", name="Undo").click()
    person.press("Save and run")
    expect(person.dialog("Run written")).to_be_visible()


def test_says_in_a_form_what_a_flow_is_called_and_may_do(person: Person) -> None:
    """The fields come from the flow's own schema; what is wrong stands beside them, and other lines stay as they were."""
    page = person.page
    person.log_in()
    person.go(f"/flows/{person.flow(WRITTEN)}")
    person.press("Flow settings")
    form = page.get_by_role("region", name="Flow settings")
    form.get_by_role("textbox", name="Description").fill("Greets Ada.")
    form.get_by_text("Limits", exact=True).click()
    steps = form.get_by_role("textbox", name="Max Steps")
    steps.fill("none")
    expect(form.get_by_role("alert").filter(has_text="whole number")).to_be_visible()
    steps.fill("50")
    expect(page.get_by_role("region", name="Problems")).to_contain_text("No problems.")
    person.press("Close the form", form)
    text = page.get_by_role("textbox", name=YAML)
    expect(text).to_contain_text("metadata: {name: written, description: Greets Ada.}")
    expect(text).to_contain_text("max_steps: 50")
    expect(text).to_contain_text("# as it was")


def test_chooses_a_step_of_a_run_by_the_keyboard(person: Person) -> None:
    """Enter on a node that has the focus shows what became of it."""
    page = person.page
    person.log_in()
    person.go(f"/runs/{person.run(FAILING)}")
    person.status("failed")
    node = page.get_by_role("region", name="Canvas").locator(".react-flow__node[data-id=boom]")
    expect(node).to_be_visible()
    page.get_by_role("button", name="Redrive…").focus()
    node.focus()
    page.keyboard.press("Enter")
    step = page.get_by_role("complementary", name="Step")
    expect(step.get_by_role("heading", name="boom", exact=True)).to_be_visible()
