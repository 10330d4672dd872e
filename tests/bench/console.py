"""`python -m tests.bench.console`: how fast the console is, in Chromium against `flowrunner serve` on SQLite.

- a run of 10,000 steps, executed before: from the navigation to the moment at which all of its steps are in the
  timeline and its canvas has its badges. Each time in a new browser context: nothing is cached.
- the canvas of a flow of 500 nodes: frames per second while it is dragged about, and while it is zoomed.
- Lighthouse's performance of the list of flows and of a run, with its preset for desktops (`--lighthouse`; npx fetches it).

A target that is missed is marked, and is no failure: see `tests.bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.bench.server import PASSWORD, Served, server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LIGHTHOUSE = "lighthouse@13"
STEPS, NODES = 10_000, 500
OPENS = 5
MOVES, MOVE_PIXELS = 120, 6

RUN = f"""
metadata: {{name: ten-thousand-steps}}
limits: {{max_steps: 20000}}
nodes:
  first: {{type: transform, params: {{value: 1}}, next: each}}
  each:
    type: transform
    foreach: {{items: "${{[...Array({STEPS - 2}).keys()]}}", max_concurrency: 50}}
    params: {{value: "${{item}}"}}
    next: last
  last: {{type: transform, params: {{value: done}}}}
"""

WATCH = f"""
window.bench = {{}};
const look = () => {{
  const said = document.querySelector('[aria-label="What happened"]')?.textContent ?? '';
  const badges = document.querySelectorAll('.react-flow__node svg[role=img]').length;
  if (said.includes('{STEPS + 1:,} steps') && badges === 3) window.bench.open = performance.now();
  else requestAnimationFrame(look);
}};
requestAnimationFrame(look);
"""

FRAMES = """() => {
  const times = [];
  window.bench = {times, on: true};
  const tick = (now) => { times.push(now); if (window.bench.on) requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
}"""
COUNTED = """() => {
  window.bench.on = false;
  const gaps = window.bench.times.slice(1).map((one, index) => one - window.bench.times[index]);
  return gaps.sort((one, other) => one - other);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lighthouse", action="store_true", help="measure with Lighthouse, too")
    options = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("there is no Chromium")
    with folder() as path, server(path) as served, sync_playwright() as playwright:
        run, flow = executed(served), large_flow(served)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = [open_run(browser, served, run) for _ in range(OPENS)]
        shown = ", ".join(f"{one:.2f}" for one in opened)
        say(f"a run of {STEPS:,} steps opens, median of {OPENS} ({shown})", statistics.median(opened), "s", most=1.0)
        for what, gaps in frames(browser, served, flow).items():
            say(f"{NODES} nodes, {what}", 1000 * len(gaps) / sum(gaps), "frames/s", least=50)
            say(f"{NODES} nodes, {what}, 95 % of the frames within", gaps[int(len(gaps) * 0.95)], "ms")
        browser.close()
        if options.lighthouse:
            for name, place in (("the list of flows", "/flows"), ("the run", f"/runs/{run}")):
                say(f"Lighthouse, performance of {name}", lighthouse(path, served, place), "of 100", least=90)


@contextmanager
def folder() -> Iterator[Path]:
    """On the disk of the project."""
    path = Path(tempfile.mkdtemp(prefix="bench-", dir=Path.cwd()))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def say(what: str, value: float, unit: str, *, least: float | None = None, most: float | None = None) -> None:
    missed = (least is not None and value < least) or (most is not None and value > most)
    target = f" (≥ {least:g})" if least is not None else f" (≤ {most:g})" if most is not None else ""
    print(f"{what}: {value:.2f} {unit}{target}{' MISSED' if missed else ''}", flush=True)


def stored(served: Served, document: str) -> str:
    """Store a flow; its id."""
    headers = {"Content-Type": "application/yaml"}
    return str(served.call("POST", "/v1/flows", content=document, headers=headers)["id"])


def executed(served: Served) -> str:
    """The id of a run of many steps that has been executed."""
    run = str(served.call("POST", f"/v1/flows/{stored(served, RUN)}/runs", json={})["id"])
    began = time.monotonic()
    while (status := served.call("GET", f"/v1/runs/{run}")["status"]) in {"queued", "running"}:
        time.sleep(0.2)
    assert status == "completed", status
    print(f"({STEPS:,} steps were executed in {time.monotonic() - began:.1f} s)")
    return run


def large_flow(served: Served) -> str:
    """The id of a flow whose nodes are twenty chains that begin in one node."""
    chain = (NODES - 1) // 20
    nodes = {"start": {"type": "transform", "params": {"value": 1}, "next": [f"n{row}_0" for row in range(20)]}}
    for row in range(20):
        for place in range(chain if row else NODES - 1 - 19 * chain):
            nodes[f"n{row}_{place}"] = {"type": "transform", "params": {"value": place}, "next": f"n{row}_{place + 1}"}
        del nodes[f"n{row}_{place}"]["next"]
    assert len(nodes) == NODES
    return stored(served, json.dumps({"metadata": {"name": "five-hundred-nodes"}, "nodes": nodes}))


def new_page(browser: Browser, served: Served, *, script: str | None = None) -> Page:
    """A page of a new browser, logged in."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    assert page.request.post(f"{served.url}/v1/session", data={"username": "bench", "password": PASSWORD}).ok
    if script:
        page.add_init_script(script)
    return page


def open_run(browser: Browser, served: Served, run: str) -> float:
    """Seconds from the navigation until all is shown."""
    page = new_page(browser, served, script=WATCH)
    page.goto(f"{served.url}/runs/{run}")
    # (The page's policy forbids `wait_for_function`, which evaluates text.)
    while (taken := page.evaluate("() => window.bench.open ?? null")) is None:
        time.sleep(0.1)
    page.context.close()
    return float(taken) / 1000


def frames(browser: Browser, served: Served, flow: str) -> dict[str, list[float]]:
    """Milliseconds between frames, sorted, while the canvas is dragged and zoomed."""
    page = new_page(browser, served)
    page.goto(f"{served.url}/flows/{flow}")
    page.locator(".react-flow__node").first.wait_for()
    box = page.get_by_role("region", name="Canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] - 40
    found: dict[str, list[float]] = {}
    for what in ("zoomed in", "dragged", "zoomed out"):
        page.mouse.move(x, y)
        page.evaluate(FRAMES)
        if what == "dragged":
            page.mouse.down()
        for step in range(MOVES):
            if what == "dragged":
                page.mouse.move(x + MOVE_PIXELS * (step % 40 - 20), y - step)
            else:
                page.mouse.wheel(0, -12 if what == "zoomed in" else 12)
        if what == "dragged":
            page.mouse.up()
        found[what] = page.evaluate(COUNTED)
    page.context.close()
    return found


def lighthouse(path: Path, served: Served, place: str) -> float:
    """The score of a page, of 100, for somebody who has logged in."""
    session = subprocess.run(
        ["curl", "-sS", "-i", f"{served.url}/v1/session", "--json", json.dumps({"username": "bench", "password": PASSWORD})],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    cookie = next(line for line in session.splitlines() if line.lower().startswith("set-cookie:"))
    headers, report = path / "headers.json", path / "report.json"
    headers.write_text(json.dumps({"Cookie": cookie.partition(":")[2].partition(";")[0].strip()}), encoding="utf-8")
    subprocess.run(
        ["npx", "--yes", LIGHTHOUSE, f"{served.url}{place}", "--quiet", "--preset=desktop", "--only-categories=performance",
         "--chrome-flags=--headless=new --no-sandbox", f"--extra-headers={headers}", "--output=json",
         f"--output-path={report}"],
        env={**os.environ, "CHROME_PATH": CHROMIUM or ""}, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return float(found["categories"]["performance"]["score"]) * 100


if __name__ == "__main__":
    main()
