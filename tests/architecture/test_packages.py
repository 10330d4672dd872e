"""The packages of a release hold the console and the documents, and an installation serves them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import httpx2
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = "<!doctype html><title>the console of this test</title>"
DOCS = "<!doctype html><title>the documents of this test</title>"
TAKEN = ("pyproject.toml", "README.md", "LICENSE", "scripts/hatch_build.py", "layers/flowrunner/python/flowrunner")


@pytest.fixture(scope="module")
def uv() -> str:
    """The uv that made the environment."""
    found = ["bash", "-c", 'source scripts/lib.sh; find_uv && echo "$UV"']
    path = subprocess.run(found, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    if not path:
        pytest.skip("no uv: scripts/test installs it")
    return path


def checkout(folder: Path, *, built: bool) -> Path:
    """A copy of what packages are made of, with a console and documents built or not."""
    for name in TAKEN:
        there = folder / name
        there.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, there)
    if built:
        assets = folder / "build" / "console" / "assets"
        assets.mkdir(parents=True)
        (assets / "index-1.js").write_text("0", encoding="utf-8")
        (assets.parent / "index.html").write_text(PAGE, encoding="utf-8")
        docs = folder / "build" / "docs"
        docs.mkdir()
        (docs / "index.html").write_text(DOCS, encoding="utf-8")
        for site in (assets.parent, docs):
            (site / ".fingerprint").write_text("of the build", encoding="utf-8")
    return folder


def call_uv(uv: str, *arguments: str | Path) -> None:
    """From uv's cache, where the build's packages are since the environment was made; from the index if they are not."""
    for offline in (["--offline"], []):
        done = subprocess.run([uv, *arguments, *offline], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
    pytest.fail(done.stderr)


def built_files(wheel: Path, what: str) -> set[str]:
    """What of the console or the documents is in a wheel."""
    prefix = f"flowrunner/{what}/"
    return {name.removeprefix(prefix) for name in ZipFile(wheel).namelist() if name.startswith(prefix)}


def test_an_installed_wheel_serves_the_console_and_the_documents(uv: str, tmp_path: Path) -> None:
    """By way of the source archive, as `uv build` goes: both come from the folder it was installed into."""
    call_uv(uv, "build", "--quiet", "--out-dir", tmp_path / "dist", checkout(tmp_path / "checkout", built=True))
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert built_files(wheel, "console") == {"index.html", "assets/index-1.js"}
    assert built_files(wheel, "docs") == {"index.html"}
    installed = tmp_path / "installed"
    call_uv(uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", installed, wheel)
    served(installed)


def served(installed: Path) -> None:
    """Start the server of the installed package, and ask it for its page and a file."""
    # What it does is not measured: its files are not the project's.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "FLOWRUNNER_"))}
    with subprocess.Popen(
        [sys.executable, "-m", "flowrunner", "serve", "--port", "0", "--store", "memory:"],
        env={**kept, "PYTHONPATH": str(installed)},
        cwd=installed.parent,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            lines = []
            while (line := process.stderr.readline()) and not (found := re.search(r"http://\S+:\d+", line)):
                lines.append(line)
            assert line, "".join(lines)
            assert found
            assert httpx2.get(f"{found[0]}/flows", timeout=180).text == PAGE
            assert httpx2.get(f"{found[0]}/assets/index-1.js", timeout=180).text == "0"
            assert httpx2.get(f"{found[0]}/docs/", timeout=180).text == DOCS
        finally:
            process.terminate()
            process.communicate(timeout=180)


def test_a_wheel_can_be_made_without_a_built_console(uv: str, tmp_path: Path) -> None:
    """Whoever has no Node can install from a checkout nevertheless."""
    bare = checkout(tmp_path / "checkout", built=False)
    call_uv(uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path / "dist", bare)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert built_files(wheel, "console") == built_files(wheel, "docs") == set()
    assert "flowrunner/api/console.py" in ZipFile(wheel).namelist()
