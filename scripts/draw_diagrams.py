"""Draw the Mermaid diagrams of docs/ as SVG files, which the site shows: its pages have no script that could.

Run it after a diagram has changed: `uv run python scripts/draw_diagrams.py`. It needs Node's npm, which gets Mermaid,
and a Chromium, in which Mermaid draws.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from build_docs import DIAGRAM, DRAWINGS, ROOT, file_of

MERMAID = "mermaid@11"

SETTINGS = """{startOnLoad: false, theme: "neutral", htmlLabels: false, flowchart: {htmlLabels: false},
deterministicIds: true, fontFamily: "system-ui, sans-serif"}"""


def diagrams(docs: Path) -> dict[str, str]:
    """The text of every diagram by the place of its drawing."""
    pages = sorted(docs.rglob("*.md"))
    return {file_of(text): text for page in pages for text in DIAGRAM.findall(page.read_text("utf-8"))}


def main() -> int:
    """Draw what is new, and remove what no page shows any more."""
    docs = ROOT / "docs"
    wanted = diagrams(docs)
    (docs / DRAWINGS).mkdir(parents=True, exist_ok=True)
    for path in (docs / DRAWINGS).glob("*.svg"):
        if f"{DRAWINGS}/{path.name}" not in wanted:
            path.unlink()
    new = {name: text for name, text in wanted.items() if not (docs / name).is_file()}
    for name, drawing in draw(new).items() if new else ():
        (docs / name).write_text(drawing, "utf-8")
        print(f"docs/{name}")
    return 0


def draw(texts: dict[str, str]) -> dict[str, str]:
    """The drawings, as Mermaid makes them in a Chromium without a network."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_content("<!doctype html><body></body>")
        page.add_script_tag(content=mermaid().read_text("utf-8"))
        page.evaluate(f"mermaid.initialize({SETTINGS})")
        script = "async ([id, text]) => (await mermaid.render(id, text)).svg"
        found = {name: page.evaluate(script, [f"d{Path(name).stem}", text]) for name, text in texts.items()}
        browser.close()
    return {name: f"{svg}\n" for name, svg in found.items()}


def mermaid() -> Path:
    """Mermaid in one file, from npm."""
    folder = ROOT / "build" / "mermaid"
    script = folder / "node_modules/mermaid/dist/mermaid.min.js"
    if not script.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm") or sys.exit("npm is needed to get Mermaid")
        command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error", MERMAID]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return script


if __name__ == "__main__":
    sys.exit(main())
