"""The site of docs/: every page is in its navigation, no link is dead, and what is built is all ours."""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from flowrunner.api.app import create_app
from flowrunner.api.docs import POLICY, docs_folder

from tests.api.harness import service

ROOT = Path(__file__).resolve().parents[2]
BUILDER = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts/build_docs.py")))
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
TAKEN = ("docs", "examples", "zensical.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "web/public")


def plain(text: str) -> str:
    """A page without its blocks and pieces of code."""
    return re.sub(r"`[^`\n]*`", lambda code: code[0].strip("`").replace("[", "("), BUILDER.FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The names of a page's headings, as GitHub and the site make them."""
    names: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+?)\s*$", BUILDER.FENCE.sub("", text), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        names.add(name if name not in names else f"{name}-1")
    return names


def dead(files: dict[str, str], links: dict[str, str]) -> list[str]:
    """The links of `links` that lead to no file and no heading; files are known by their place."""
    found = []
    for at, text in links.items():
        for link in LINK.findall(plain(text)):
            if "://" in link or link.startswith("mailto:"):
                continue
            path, _, anchor = link.partition("#")
            place = BUILDER.posixpath.normpath(f"{BUILDER.posixpath.dirname(at) or '.'}/{path}") if path else at
            if place not in files or (anchor and anchor not in anchors(files[place])):
                found.append(f"{at}: {link}")
    return found


def test_every_page_is_in_the_navigation() -> None:
    """And the navigation names no page that is not there, and none twice."""
    named = BUILDER.navigation(ROOT)
    assert sorted(named) == sorted(BUILDER.sources(ROOT))


def test_no_link_of_the_site_is_dead() -> None:
    """Neither to a page nor to a heading; pictures are there."""
    pages = BUILDER.sources(ROOT)
    images = {path.relative_to(ROOT / "docs").as_posix(): "" for path in (ROOT / "docs/images").rglob("*.*")}
    assert dead(pages | images, pages) == []


def test_no_link_is_dead_where_the_files_are_read() -> None:
    """As on GitHub: from the README, the changelog, the guide for contributors and docs/ to files and folders."""
    texts = [ROOT / name for name in BUILDER.TAKEN] + sorted((ROOT / "docs").rglob("*.md"))
    written = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in texts}
    linked = {link.partition("#")[0] for text in written.values() for link in LINK.findall(plain(text))}
    names = {Path(link).name for link in linked} - {""}
    there = {
        path.relative_to(ROOT).as_posix(): ""
        for folder in ("docs", "examples", "layers/flowrunner/python/flowrunner", "tests", "scripts", "infra")
        for path in (ROOT / folder).rglob("*")
        if path.name in names
    }
    there |= {path.name: "" for path in ROOT.iterdir()}
    assert dead(there | written, written) == []


def test_every_diagram_is_drawn() -> None:
    """As it stands in its page; `uv run python scripts/draw_diagrams.py` draws those that have changed."""
    pages = [path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md")]
    wanted = {BUILDER.file_of(text) for page in pages for text in BUILDER.DIAGRAM.findall(page)}
    assert wanted
    assert wanted == {f"images/diagrams/{path.name}" for path in (ROOT / "docs/images/diagrams").iterdir()}


def test_links_that_leave_the_pages_lead_to_pages_or_nowhere() -> None:
    """A file of the project that has a page is linked by it; one that has none is named only."""
    text = "[log](../../CHANGELOG.md#a), [x](../../examples/x.yaml), [code](../../infra/app.py), [b](../b.md), [#](#c)"
    assert BUILDER.relinked(text, "docs/nodes/a.md", "nodes/a.md") == (
        "[log](../changelog.md#a), [x](../examples.md), code, [b](../b.md), [#](#c)"
    )
    assert BUILDER.relinked("[a](docs/a.md)", "README.md", "README.md") == "[a](a.md)"
    fenced = "```sh\n[log](../CHANGELOG.md)\n```\n"
    assert BUILDER.relinked(fenced, "docs/a.md", "a.md") == fenced


def test_scripts_of_pages_become_files(tmp_path: Path) -> None:
    """The same script becomes one file; data stays where it is."""
    page = '<script>go()</script><script type="application/json">{}</script>'
    for name in ("index.html", "a/b/index.html", "404.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(page, "utf-8")
    (tmp_path / BUILDER.SCRIPTS).mkdir(parents=True)
    BUILDER.finish(tmp_path)
    (made,) = (tmp_path / BUILDER.SCRIPTS).iterdir()
    assert made.read_text("utf-8") == "go()"
    for name, up in (("index.html", "."), ("a/b/index.html", "../.."), ("404.html", "/docs")):
        text = (tmp_path / name).read_text("utf-8")
        assert text == page.replace("<script>go()<", f'<script src="{up}/{BUILDER.SCRIPTS}/{made.name}"><')


@pytest.mark.parametrize(
    "page",
    ['<img src="//other.example/a.png">', "<script src=https://other.example/a.js></script>", '<a onclick="go()">'],
)
def test_a_page_that_loads_what_is_not_ours_fails_the_build(tmp_path: Path, page: str) -> None:
    """Rather than being broken by the policy where it is shown."""
    (tmp_path / "index.html").write_text(page, "utf-8")
    with pytest.raises(ValueError, match=r"index\.html"):
        BUILDER.finish(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the site is made of, and the site built of it."""
    root = tmp_path_factory.mktemp("project")
    for name in TAKEN:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name)
        else:
            shutil.copy(ROOT / name, root / name)
    assert BUILDER.main(root) == 0
    return Path(root / BUILDER.SITE)


@pytest.fixture(scope="module")
def client(built: Path) -> Iterator[TestClient]:
    """A server with these documents."""
    with service() as api, TestClient(create_app(api.platform, docs=built), follow_redirects=False) as client:
        yield client


def test_every_page_is_served(client: TestClient) -> None:
    """Without a login, under a policy that its scripts and styles fit."""
    for page in BUILDER.navigation(ROOT):
        path = f"/docs/{page.removesuffix('README.md').removesuffix('.md')}/".replace("//", "/")
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "<script>" not in answer.text
        for script in re.findall(r'<script src="([^"]+)"', answer.text):
            assert client.get(f"{path}{script}").status_code == 200, script


def test_search_has_the_headings_of_the_pages(built: Path) -> None:
    """Its index is one of the files, and needs no server."""
    index = (built / "search.json").read_text("utf-8")
    assert '"Getting started"' in index
    assert "http.request" in index


def test_folders_end_in_a_slash(client: TestClient) -> None:
    """Links count from there; whatever name the server was asked by is not repeated."""
    for path in ("/docs", "/docs/errors"):
        answer = client.get(path, headers={"Host": "evil.example"})
        assert (answer.status_code, answer.headers["location"]) == (307, f"{path}/")


@pytest.mark.parametrize("path", ["/docs/nope/at/all/", "/docs/..%2f..%2fetc%2fpasswd"])
def test_what_is_not_there_is_a_page_that_says_so(client: TestClient, path: str) -> None:
    """Under the same policy; its links work from anywhere."""
    answer = client.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-cache")
    assert "root:" not in answer.text


def test_paths_that_no_file_has_are_not_there(client: TestClient) -> None:
    """Nothing but a refusal comes of them."""
    for path in ("/docs/%00", f"/docs/{'a' * 5000}/"):
        assert client.get(path).status_code == 404


def test_documents_can_only_be_read(client: TestClient) -> None:
    """No other method is taken."""
    assert client.post("/docs/").status_code == 405


def test_files_with_a_hash_in_their_names_are_kept(client: TestClient, built: Path) -> None:
    """So that a browser asks for them once."""
    script = next((built / BUILDER.SCRIPTS).glob("bundle.*.js")).name
    answer = client.get(f"/docs/assets/javascripts/{script}")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/docs/assets/javascripts/other.js").headers["cache-control"] == "no-cache"


def test_what_a_search_reads_is_compressed(client: TestClient, built: Path) -> None:
    """The index is the largest file; a browser that has it already is told so."""
    found = client.get("/docs/search.json", headers={"Accept-Encoding": "gzip"})
    assert found.headers["content-encoding"] == "gzip"
    assert int(found.headers["content-length"]) * 3 < (built / "search.json").stat().st_size
    again = client.get("/docs/search.json", headers={"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.headers["content-security-policy"]) == (304, POLICY)


def test_without_a_build_a_page_says_so() -> None:
    """And how to get them; it is no page of the console."""
    with service() as api, TestClient(create_app(api.platform)) as client:
        for path in ("/docs", "/docs/errors/"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert "scripts/build-docs" in answer.text
            assert answer.headers["content-security-policy"] == POLICY
        assert client.post("/docs/").status_code == 405


def test_a_checkout_has_the_documents_that_it_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None where there was no build; an installation has its own."""
    package = tmp_path / "layers" / "flowrunner" / "python" / "flowrunner"
    monkeypatch.setattr("flowrunner.api.docs.__file__", str(package / "api" / "docs.py"))
    assert docs_folder() is None
    for place in (tmp_path / "build" / "docs", package / "docs"):
        place.mkdir(parents=True)
        (place / "index.html").touch()
        assert docs_folder() == place
