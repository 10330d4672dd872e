"""The console's files, as the server hands them out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from flowrunner.api.app import create_app
from flowrunner.api.console import console_folder
from flowrunner.language.load import load_valid_flow

from tests.api.harness import service


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A server with a console of two files."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>flowrunner</title>")
    (tmp_path / "assets" / "index-abc.js").write_text("export {};")
    with service() as api, TestClient(create_app(api.platform, tmp_path)) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/flows", "/runs/01a1fe24", "/nope/at/all", "/flows/..%2f..%2fetc%2fpasswd"])
def test_every_view_is_the_page(client: TestClient, path: str) -> None:
    """The page knows its own views, and says itself what it has not; it is asked for anew each time."""
    answer = client.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    assert "<title>flowrunner</title>" in answer.text


def test_assets_never_change_under_their_name(client: TestClient) -> None:
    """So browsers keep them; one that is not there is not the page."""
    answer = client.get("/assets/index-abc.js")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/assets/index-old.js").status_code == 404


def test_the_page_may_load_nothing_from_elsewhere(client: TestClient) -> None:
    """Its policy allows our own files, and no script in the document."""
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert client.get("/").headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/v1/nope", "/v1", "/hooks/a/b/c/d", "/mcp", "/metrics"])
def test_paths_of_the_api_are_never_the_page(client: TestClient, path: str) -> None:
    """What is not there is not there, for programs."""
    answer = client.get(path)
    assert answer.status_code in (401, 404, 405), "405: /mcp takes only POST"
    assert answer.headers["content-type"] == "application/json"


def test_files_are_compressed_for_who_takes_that(client: TestClient, tmp_path: Path) -> None:
    """The same file under the same tag; whoever has it already is told so; a new build is a new file."""
    small = client.get("/assets/index-abc.js", headers={"Accept-Encoding": "br;q=1, gzip"})
    whole = client.get("/assets/index-abc.js", headers={"Accept-Encoding": "identity"})
    assert (small.headers["content-encoding"], small.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert "content-encoding" not in whole.headers
    for name in ("etag", "content-type", "cache-control", "content-security-policy", "vary"):
        assert small.headers[name] == whole.headers[name]
    assert small.text == whole.text == "export {};"
    had = {"If-None-Match": small.headers["etag"], "Accept-Encoding": "gzip"}
    assert client.get("/assets/index-abc.js", headers=had).status_code == 304
    (tmp_path / "index.html").write_text("<!doctype html><title>of another build</title>")
    assert "another" in client.get("/", headers={"Accept-Encoding": "gzip"}).text


def test_the_page_takes_no_other_methods(client: TestClient) -> None:
    """It can only be read."""
    assert client.post("/flows").status_code == 405


def test_a_checkout_has_the_console_that_it_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None where there was no build."""
    package = tmp_path / "layers" / "flowrunner" / "python" / "flowrunner"
    monkeypatch.setattr("flowrunner.api.console.__file__", str(package / "api" / "console.py"))
    assert console_folder() is None
    built = tmp_path / "build" / "console"
    built.mkdir(parents=True)
    (built / "index.html").touch()
    assert console_folder() == built
    (package / "console").mkdir(parents=True)
    (package / "console" / "index.html").touch()
    assert console_folder() == package / "console"


def test_templates_of_the_console_are_valid_flows() -> None:
    """Whoever begins with one begins with a flow that runs."""
    folder = Path(__file__).parents[2] / "web" / "src" / "views" / "flows" / "templates"
    found = sorted(folder.glob("*.yaml"))
    assert found
    for file in found:
        assert load_valid_flow(file.read_text("utf-8")).nodes
