"""Somebody in front of the console: a page, an account, and what the page said that nobody asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from tests.cli.remote.server import PASSWORD, Running

PATIENCE_MS = 60_000
"""How long a machine under load may take for what somebody waits for."""

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Person:
    """The owner of an account, and the page they look at."""

    page: Page
    url: str
    username: str
    complaints: list[str] = field(default_factory=list)
    csrf: str = ""

    def log_in(self) -> None:
        """Begin a session without the form."""
        answer = self.page.request.post(
            f"{self.url}/v1/session", data={"username": self.username, "password": PASSWORD}
        )
        assert answer.ok, answer.text()
        self.csrf = answer.json()["csrf_token"]

    def call(self, method: str, path: str, body: Any = None, type: str = "application/json") -> Any:
        """Ask the API within the session."""
        answer = self.page.request.fetch(
            f"{self.url}{path}",
            method=method,
            headers={"X-CSRF-Token": self.csrf, "Origin": self.url, **({} if body is None else {"Content-Type": type})},
            data=body,
        )
        assert answer.ok, f"{method} {path}: {answer.status} {answer.text()}"
        return answer.json() if answer.body() else None

    def flow(self, document: str) -> str:
        """Store a flow; answers its id."""
        return str(self.call("POST", "/v1/flows", document, "application/yaml")["id"])

    def run(self, document: str, **input: Any) -> str:
        """Store a flow and start it; answers the run's id."""
        return str(self.call("POST", f"/v1/flows/{self.flow(document)}/runs", {"input": input})["id"])

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def press(self, name: str, within: Locator | None = None) -> None:
        """Press the button of this name."""
        (within or self.page).get_by_role("button", name=name, exact=True).click()

    def dialog(self, name: str) -> Locator:
        return self.page.get_by_role("dialog", name=name)

    def status(self, word: str) -> None:
        """Wait until the head of the page shows this status."""
        expect(self.page.locator("main header").first.locator("span").get_by_text(word, exact=True)).to_be_visible()

    def choose(self, node: str) -> None:
        """Click on a node of a run. What has come since may push the drawing down under the click: then again."""
        shown = self.page.get_by_role("complementary", name="Step").get_by_role("heading", name=node, exact=True)
        for patience in (2_000, 4_000, 8_000, PATIENCE_MS):
            self.page.get_by_role("region", name="Canvas").get_by_text(node, exact=True).click()
            with suppress(AssertionError):
                expect(shown).to_be_visible(timeout=patience)
                return
        raise AssertionError(f"{node} cannot be chosen")

    def hear(self, message: ConsoleMessage) -> None:
        """Keep what is wrong with the page; that a request was refused the browser says by itself."""
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)


@contextmanager
def new_person(
    browser: Browser, server: Running, scheme: Literal["dark", "light"] = "light", **context: Any
) -> Iterator[Person]:
    """A page for the owner of a new account; at its end the page must not have complained."""
    made = browser.new_context(color_scheme=scheme, viewport={"width": 1440, "height": 900}, **context)
    made.set_default_timeout(PATIENCE_MS)
    page = made.new_page()
    person = Person(page, server.url, server.owner())
    page.on("console", person.hear)
    page.on("pageerror", lambda error: person.complaints.append(str(error)))
    try:
        yield person
        assert person.complaints == []
    finally:
        made.close()
