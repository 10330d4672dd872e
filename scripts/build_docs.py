"""Build the site of docs/ into build/docs: the generator's work, with what it cannot know before and after.

Before: the changelog, the guide for contributors and the example flows become pages, and links that lead out of
`docs/` on GitHub lead to those pages; a link to a file that has none becomes its text. After: scripts that stand in
the pages become files, so that the server's policy need not allow any (`flowrunner.api.docs`).
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "zensical.toml"
SOURCE = "build/docs-source"
SITE = "build/docs"
PREFIX = "/docs"
SCRIPTS = "assets/javascripts"

TAKEN = {"README.md": "README.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Files at the project's root, and the page that stands for each in the site."""

LINK = re.compile(r"(?<!\!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DRAWINGS = "images/diagrams"
STAR = re.compile(r'^( *)"([\w/]+)/\*",\n', re.MULTILINE)
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
FOREIGN = re.compile(r"<(?:script|img|iframe|link|source|video)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
HANDLER = re.compile(r"<[a-z][^>]*\s(?:on[a-z]+=|href=[\"']?javascript:)[^>]*>")


def main(root: Path = ROOT) -> int:
    """Build the site; what is wrong with a page fails it."""
    prepare(root, root / SOURCE)
    shutil.rmtree(root / SITE, ignore_errors=True)
    program = Path(sys.executable).with_name("zensical")
    config = root / "build" / CONFIG
    config.write_text(configuration(root), "utf-8")
    command = [str(program), "build", "--clean", "--strict", "--config-file", str(config)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        return 1
    finish(root / SITE)
    return 0


def prepare(root: Path, target: Path) -> None:
    """Write what the generator reads: the pages of docs/, and those made of other files."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "docs", target)
    shutil.copy(root / "web/public/favicon.svg", target / "images/favicon.svg")
    for name, text in sources(root).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text, "utf-8")


def sources(root: Path) -> dict[str, str]:
    """The text of every page by its place in the site, links included."""
    docs = root / "docs"
    found = {path.relative_to(docs).as_posix(): path for path in docs.rglob("*.md")}
    pages = {name: relinked(drawn(path.read_text("utf-8"), name), f"docs/{name}", name) for name, path in found.items()}
    for name, page in TAKEN.items():
        if page not in pages:
            pages[page] = relinked((root / name).read_text("utf-8"), name, page)
    pages["examples.md"] = examples(root / "examples")
    return pages


def drawn(text: str, page: str) -> str:
    """The text with the drawings of its diagrams, which GitHub makes by itself; each opens in its own size."""

    def one(block: re.Match[str]) -> str:
        drawing = "../" * page.count("/") + file_of(block[1])
        return f"[![Diagram]({drawing})]({drawing})\n"

    return DIAGRAM.sub(one, text)


def file_of(diagram: str) -> str:
    """The place of a diagram's drawing below docs/: named by its text, so that a stale one is found."""
    return f"{DRAWINGS}/{hashlib.sha256(diagram.encode()).hexdigest()[:12]}.svg"


def relinked(text: str, at: str, page: str) -> str:
    """The text of the file `at` as the page `page`: links lead to pages of the site, or are no links."""

    def one(link: re.Match[str]) -> str:
        words, target = link[1], link[2]
        if target.startswith(("#", "mailto:")) or "://" in target:
            return link[0]
        path, _, anchor = target.partition("#")
        place = posixpath.normpath(posixpath.join(posixpath.dirname(at), path))
        there = page_of(place)
        if there is None:
            return words
        back = posixpath.relpath(there, posixpath.dirname(page) or ".")
        return f"[{words}]({back}{'#' + anchor if anchor else ''})"

    pieces, last = [], 0
    for fence in FENCE.finditer(text):
        pieces += [LINK.sub(one, text[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*pieces, LINK.sub(one, text[last:])])


def page_of(place: str) -> str | None:
    """The page of the site that stands for a file of the project."""
    if place in TAKEN:
        return TAKEN[place]
    if place.partition("/")[0] == "examples":
        return "examples.md"
    return place.removeprefix("docs/") if place.startswith("docs/") else None


def examples(folder: Path) -> str:
    """A page with every example flow, by name."""
    lines = ["# Examples", "", "The flows of the folder `examples/`, which `flowrunner dev` starts with.", ""]
    for path in sorted(folder.glob("*.yaml")):
        text = path.read_text("utf-8")
        document = yaml.safe_load(text)
        told = document.get("metadata", {}).get("description", "") if isinstance(document, dict) else ""
        lines += [f"## {path.stem}", "", *([told.strip(), ""] if told else []), "```yaml", text.rstrip(), "```", ""]
    return "\n".join(lines)


def configuration(root: Path) -> str:
    """The generator's settings, with the pages that `"FOLDER/*"` stands for."""
    text = (root / CONFIG).read_text("utf-8")

    def pages(star: re.Match[str]) -> str:
        names = sorted(path.name for path in (root / "docs" / star[2]).glob("*.md"))
        unnamed = (name for name in names if f'"{star[2]}/{name}"' not in text)
        return "".join(f'{star[1]}{{ "{name[:-3]}" = "{star[2]}/{name}" }},\n' for name in unnamed)

    return STAR.sub(pages, text)


def navigation(root: Path) -> list[str]:
    """The pages in the site's navigation, in their order."""

    def pages(entries: object) -> list[str]:
        match entries:
            case str():
                return [entries]
            case list():
                return [page for entry in entries for page in pages(entry)]
            case Mapping():
                return [page for entry in entries.values() for page in pages(entry)]
        raise TypeError(f"{CONFIG}: {entries!r} is nothing of a navigation")

    return pages(tomllib.loads(configuration(root))["project"]["nav"])


def finish(site: Path) -> None:
    """Take the scripts out of the pages. Raises `ValueError` for a page that would load what is not ours."""
    for page in sorted(site.rglob("*.html")):
        text = page.read_text("utf-8")
        if page.name == "404.html":  # it is shown at any path
            text = re.sub(r'(=|":)"/', rf'\1"{PREFIX}/', text)
        for refused in (FOREIGN, HANDLER):
            if found := refused.search(text):
                raise ValueError(f"{page.relative_to(site)}: {found[0][:200]}")
        to_site = posixpath.relpath(".", page.parent.relative_to(site).as_posix())

        def moved(script: re.Match[str], up: str = PREFIX if page.name == "404.html" else to_site) -> str:
            name = f"{SCRIPTS}/page-{hashlib.sha256(script[1].encode()).hexdigest()[:12]}.js"
            (site / name).write_text(script[1], "utf-8")
            return f'<script src="{up}/{name}"></script>'

        page.write_text(INLINE.sub(moved, text), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
