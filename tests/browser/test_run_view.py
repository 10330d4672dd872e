"""A run in the page: through lost connections and reloads, back and forth in time, mended and redriven."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

from tests.browser.person import Person
from tests.cli.remote.server import WAITING

pytestmark = pytest.mark.xdist_group("browser")

BROKEN = """
metadata: {name: mended}
nodes:
  first: {type: transform, params: {value: 1}, next: second}
  second:
    type: script
    hooks:
      exec: |
        const found = input.nothing;
        return found.length;
    next: last
  last: {type: log, params: {message: done}}
"""
LOST = "The connection is lost"
DRAWN = "() => document.body.textContent.length"
TRIED = """
metadata: {name: tried}
nodes:
  many:
    type: script
    foreach: {items: "${[...Array(27).keys()]}", tolerate_failures: 1}
    hooks: {exec: "if (item === 9) throw new Error('nine is broken'); return 'x'.repeat(200000)"}
    next: again
  again:
    type: script
    retry: {max_attempts: 2, delay: 50ms, on: ["*"]}
    hooks: {exec: "throw new Error('never')"}
"""
"""Items, one of which fails, with 5 MB of output together; and a step that is tried twice."""

CHILDREN = """
metadata: {name: parent}
nodes:
  ask:
    type: flow.run
    params: {inline: {metadata: {name: child}, nodes: {ask: {type: approval, params: {message: go?}}}}}
"""


def test_a_run_survives_a_lost_connection_and_a_reload(person: Person) -> None:
    """What happens meanwhile is there when the server is, and again after a reload."""
    page = person.page
    person.log_in()
    run = person.run(WAITING)
    person.go(f"/runs/{run}")
    person.status("waiting")
    page.context.set_offline(True)
    person.call("POST", f"/v1/runs/{run}/steps/ask/signal", {"payload": {"approved": True}})
    page.context.set_offline(False)
    person.status("completed")
    expect(page.get_by_text(LOST)).to_be_hidden()
    page.reload()
    person.status("completed")
    expect(page.get_by_role("tabpanel", name="Timeline").get_by_role("button")).to_have_count(1)
    # The requests that failed meanwhile are no fault of the page's.
    person.complaints[:] = [said for said in person.complaints if "ERR_INTERNET_DISCONNECTED" not in said]


def test_a_server_that_is_away_is_told_and_come_back_to(person: Person) -> None:
    """A proxy that answers for it ends the stream for good: the page makes a new one, and misses nothing."""
    page = person.page
    person.log_in()
    run = person.run(WAITING)
    away = "**/v1/runs/**"
    page.route(away, lambda route: route.fulfill(status=502, body="bad gateway"))
    person.go(f"/runs/{run}")
    expect(page.get_by_role("alert")).to_be_visible()
    page.unroute(away)
    person.press("Try again")
    person.status("waiting")
    page.route("**/events*", lambda route: route.fulfill(status=502, body="bad gateway"))
    page.reload()
    person.status("waiting")
    page.unroute("**/events*")
    person.call("POST", f"/v1/runs/{run}/steps/ask/signal", {"payload": {"approved": True}})
    person.status("completed")


def test_a_run_that_ends_while_its_page_loads_is_shown_as_over(person: Person) -> None:
    """The run was read when it was under way, its timeline when it had ended: the run is read again."""
    person.log_in()
    run = person.run(BROKEN.replace("found.length", "1"))
    person.go(f"/runs/{run}")
    person.status("completed")
    read: list[str] = []

    def early(route: Route) -> None:
        """The first answer is of a moment earlier."""
        read.append(route.request.url)
        answer = route.fetch()
        before = {"status": "running", "ended_at": None} if len(read) == 1 else {}
        route.fulfill(response=answer, json={**answer.json(), **before})

    person.page.route(f"**/v1/runs/{run}", early)
    person.page.reload()
    person.status("completed")
    assert len(read) == 2


def test_the_line_is_mended_and_the_run_goes_on_with_the_newer_revision(person: Person) -> None:
    """The wrong line of the flow stands beside the error and leads to the editor; what had succeeded is not executed again."""
    page = person.page
    person.log_in()
    flow = person.flow(BROKEN)
    run = person.call("POST", f"/v1/flows/{flow}/runs", {"input": {}})["id"]
    person.go(f"/runs/{run}")
    person.status("failed")
    person.choose("second")
    excerpt = page.get_by_role("region", name="Where it went wrong")
    expect(excerpt.locator("[data-wrong=true]")).to_contain_text("return found.length;")
    excerpt.get_by_role("link", name="Open in the editor").click()
    text = page.get_by_role("textbox", name="Document (YAML)")
    expect(text).to_be_focused()
    expect(text.locator(".cm-activeLine")).to_contain_text("return found.length;")
    page.go_back()
    expect(excerpt).to_be_visible()
    page.request.put(
        f"{person.url}/v1/flows/{flow}",
        headers={
            "X-CSRF-Token": person.csrf,
            "Origin": person.url,
            "If-Match": '"1"',
            "Content-Type": "application/yaml",
        },
        data=BROKEN.replace("found.length", "1"),
    )
    person.press("Redrive…")
    asked = person.dialog("Redrive the run")
    asked.get_by_label("Revision of the flow").select_option(label="2: the newest")
    asked.get_by_label("From").select_option(label="Node second")
    person.press("Redrive", asked)
    person.status("completed")
    expect(page.get_by_text("revision 2", exact=True)).to_be_visible()
    timeline = page.get_by_role("tabpanel", name="Timeline")
    expect(timeline.get_by_role("button").filter(has_text="first")).to_have_count(1)
    expect(timeline.get_by_role("button").filter(has_text="last")).to_have_count(1)


def test_a_finished_run_is_looked_at_as_it_was(person: Person) -> None:
    """At the beginning of the replay nothing has been reached; at its end all is as before."""
    page = person.page
    person.log_in()
    person.go(f"/runs/{person.run(BROKEN)}")
    person.status("failed")
    rows = page.get_by_role("tabpanel", name="Timeline").get_by_role("button")
    expect(rows).to_have_count(2)
    moment = page.get_by_role("slider", name="Moment")
    moment.press("Home")
    canvas = page.get_by_role("region", name="Canvas")
    expect(canvas.get_by_role("img", name="failed")).to_have_count(0)
    moment.press("End")
    expect(canvas.get_by_role("img", name="failed")).to_have_count(1)
    expect(rows).to_have_count(2)


def test_what_waits_is_rejected(person: Person) -> None:
    """A rejection is an answer like any other, and is seen on the step."""
    page = person.page
    person.log_in()
    person.go(f"/runs/{person.run(WAITING)}")
    person.status("waiting")
    person.choose("ask")
    person.press("Reject", page.get_by_role("region", name="Answer"))
    person.status("completed")
    expect(page.get_by_role("complementary", name="Step")).to_contain_text("rejected")


def test_a_timeline_tells_of_tries_and_is_searched(person: Person) -> None:
    """Queued, work and the wait for the next try are told of each attempt; those that failed are found among many."""
    page = person.page
    person.log_in()
    run = person.run(TRIED)
    person.go(f"/runs/{run}")
    person.status("failed")
    timeline = page.get_by_role("tabpanel", name="Timeline")
    rows = timeline.get_by_role("button")
    expect(timeline).to_contain_text("30 steps in")
    find = timeline.get_by_role("searchbox", name="Step")
    find.fill("again")
    expect(rows).to_have_count(2)
    told = re.compile(r"again retrying, began after .*, queued for .*, next try after ")
    expect(rows.first).to_have_accessible_name(told)
    find.fill("")
    timeline.get_by_label("Which steps").select_option(label="Failed or tried again")
    expect(rows).to_have_count(3)
    find.fill("many")
    expect(rows).to_have_count(1)
    rows.click()
    step = page.get_by_role("complementary", name="Step")
    expect(step.get_by_role("alert")).to_contain_text("nine is broken")
    page.reload()
    expect(step.get_by_role("heading", name="many[9]", exact=True)).to_be_visible()


def test_a_large_value_is_read_a_page_at_a_time(person: Person) -> None:
    """Of 5 MB the page draws some thousand characters, as a tree and as text; the last of them can be reached."""
    page = person.page
    person.log_in()
    run = person.run(TRIED)
    person.go(f"/runs/{run}")
    person.status("failed")
    person.choose("many")
    output = page.get_by_role("complementary", name="Step").get_by_role("region", name="Output")
    expect(output.get_by_role("button", name="Read all 200,000 characters")).to_have_count(26)
    assert page.evaluate(DRAWN) < 100_000
    person.press("Read all 200,000 characters", output.locator("details > div > div").first)
    expect(output).to_contain_text("1 to 20,000 of 200,000 characters")
    person.press("Next", output)
    expect(output).to_contain_text("20,001 to 40,000 of 200,000 characters")
    person.press("as text", output)
    expect(output).to_contain_text(re.compile(r"1 to 20,000 of 5,2\d\d,\d\d\d characters"))
    assert page.evaluate(DRAWN) < 100_000


def test_child_runs_are_linked_both_ways(person: Person) -> None:
    """From a step to the run that it waits for, whose end is the step's; and back."""
    page = person.page
    person.log_in()
    person.go(f"/runs/{person.run(CHILDREN)}")
    page.get_by_role("link", name="It waits for the run that it has started").click()
    answer = page.get_by_role("region", name="Answer")
    expect(answer).to_contain_text("go?")
    expect(page.get_by_role("region", name="Canvas")).to_contain_text("approval")
    page.get_by_role("link", name="its parent run").click()
    page.get_by_role("link", name="It waits for the run that it has started").click()
    person.press("Approve", answer)
    person.status("completed")
    page.get_by_role("link", name="its parent run").click()
    person.status("completed")
    person.choose("ask")
    expect(page.get_by_role("link", name="The run that it has started")).to_be_visible()


def test_says_what_is_lost_and_where_codes_are_explained(person: Person) -> None:
    """A value that the store has lost is no null; a code leads to the documents, unless these are not there."""
    page = person.page
    person.log_in()
    run = person.run(BROKEN)
    page.route("**/docs/errors/", lambda route: route.fulfill(body='<h3 id="script_error"></h3>'))

    def losing(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "input": None, "lost": ["input"]})

    page.route(f"**/v1/runs/{run}", losing)
    person.go(f"/runs/{run}")
    person.status("failed")
    code = page.get_by_role("link", name="SCRIPT_ERROR").first
    expect(code).to_have_attribute("href", "/docs/errors/#script_error")
    expect(page.get_by_role("status").filter(has_text="The store has lost")).to_contain_text("input. VALUE_LOST")
    page.get_by_role("tab", name="Input and output").click()
    values = page.get_by_role("tabpanel", name="Input and output")
    expect(values.get_by_role("region", name="Input")).to_contain_text("Lost: the store does not have it")
    page.route("**/docs/errors/", lambda route: route.fulfill(status=404, body="No documents here"))
    page.reload()
    expect(page.get_by_role("alert").first).to_contain_text("SCRIPT_ERROR")
    expect(code).to_have_count(0)


def test_a_run_is_deleted(person: Person) -> None:
    """After it was asked, and then there is no such run."""
    page = person.page
    person.log_in()
    run = person.run(BROKEN)
    person.go(f"/runs/{run}")
    person.status("failed")
    person.press("More")
    page.get_by_role("menuitem", name="Delete the run…").click()
    person.press("Delete", person.dialog("Delete the run?"))
    expect(page.get_by_role("heading", name="No runs")).to_be_visible()
    person.go(f"/runs/{run}")
    expect(page.get_by_role("heading", name="There is no such run")).to_be_visible()
    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_role("heading", name="No runs")).to_be_visible()
