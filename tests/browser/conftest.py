"""A real server with the built console, and Chromium; the tests skip where either is missing."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from flowrunner.api.console import console_folder
from playwright.sync_api import Browser, sync_playwright

from tests.browser.person import PATIENCE_MS, Person, new_person
from tests.cli.remote.server import Running, running

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BUILD = "source scripts/lib.sh; console_node || exit 3; exec scripts/build-console"


@pytest.fixture(scope="session")
def built_console() -> Path:
    """The folder of the console, built anew when its sources have changed."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: install the system's package chromium")
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / "console.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the same tests may be building it
        done = subprocess.run(["bash", "-c", BUILD], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 3}:
        pytest.fail(f"scripts/build-console failed:\n{done.stdout}\n{done.stderr}")
    folder = console_folder()
    if folder is None:
        pytest.skip("no built console: scripts/build-console needs Node 20.19 or newer with npm")
    return folder


@pytest.fixture(scope="session")
def server(built_console: Path) -> Iterator[Running]:
    """A server on memory with a worker, which serves the console. Nobody listens where its webhooks go."""
    with running({"egress.allow": ["127.0.0.1:9"]}) as made:
        yield made


# For a module: while it is open its event loop counts as the thread's own, which tests of other folders would trip on.
@pytest.fixture(scope="module")
def browser(built_console: Path) -> Iterator[Browser]:
    """Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def person(browser: Browser, server: Running) -> Iterator[Person]:
    """Somebody at a page of their own: the owner of a new account, not logged in."""
    with new_person(browser, server) as made:
        yield made
