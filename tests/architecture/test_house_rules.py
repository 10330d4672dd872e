"""Rules of the house that no linter knows, each with the reason it exists."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "layers/flowrunner/python/flowrunner"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = MODULES + sorted((ROOT / "tests").rglob("*.py"))

LONGEST = 400
"""Lines of a module; one that is longer holds two ideas (style.md)."""

NAMELESS = {"common", "helper", "helpers", "misc", "util", "utils"}
"""Names that say nothing about what is inside, so that everything ends up there."""

SHIPPED = {".js", ".py", ".sql"}
"""What the package is made of; a new kind of file is added here with its purpose in mind."""

COMPOSITION = {
    "bootstrap.py",  # wires the product
    "testing.py",  # wires what authors of plugins test with
    "cli/flow_tests.py",  # wires the engine of one test case: memory, and a clock turned by hand
}
"""The only modules outside `adapters` that name concrete adapters."""


def relative(paths: list[Path]) -> list[str]:
    """Paths as they are written in reports."""
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_there_are_modules() -> None:
    """The rules below hold trivially when nothing is found, so something must be."""
    assert len(MODULES) > 50


def test_modules_are_short() -> None:
    """No module is longer than what style.md allows."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert relative([path for path, length in lengths.items() if length > LONGEST]) == []


def test_modules_have_telling_names() -> None:
    """A module is named after what it is about."""
    assert relative([path for path in MODULES if path.stem in NAMELESS]) == []


def test_the_package_holds_only_what_it_runs() -> None:
    """The wheel and the Lambda layer are this folder, so notes, data and leftovers have no place in it."""
    found = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert relative([path for path in found if path.suffix not in SHIPPED and path.name != "py.typed"]) == []


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, `from a import b` as both `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_the_composition_root_names_adapters() -> None:
    """Everything else takes its adapters as arguments, so that any of them can be put in."""
    outside = [path for path in MODULES if "adapters" not in path.relative_to(PACKAGE).parts]
    naming = [path for path in outside if any(name.startswith("flowrunner.adapters") for name in imported(path))]
    assert {path.relative_to(PACKAGE).as_posix() for path in naming} <= COMPOSITION


SWITCH = re.compile(
    r"#\s*(?:noqa\b(?::\s*[A-Z]+[0-9]+(?:,\s*[A-Z]+[0-9]+)*)?|type:\s*ignore(?:\[[^\]]*\])?|pragma: no \w+)"
)
"""A comment, or the part of one, that switches a check off."""


def unexplained(text: str) -> list[str]:
    """The comments that switch a check off and do not say why."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and SWITCH.search(token.string):
            reason = SWITCH.sub("", token.string)
            if len(re.findall(r"\w+", reason)) < 2:
                found.append(f"line {token.start[0]}: {token.string}")
    return found


@pytest.mark.parametrize(
    ("comment", "explained"),
    [
        ("# noqa: E501", False),
        ("# noqa", False),
        ("# type: ignore[arg-type]", False),
        ("# type: ignore[arg-type]  # noqa: E501", False),
        ("# pragma: no cover", False),
        ("# noqa: E501, PTH118 - a table reads better unbroken", True),
        ("# type: ignore[arg-type]  # checked above", True),
        ("# pragma: no cover - needs a kernel without limits", True),
        ("# an ordinary comment", True),
    ],
)
def test_what_counts_as_explained(comment: str, explained: bool) -> None:
    """A reason is at least two words after the switch, and another switch is no reason."""
    assert (unexplained(f"x = 1  {comment}\n") == []) is explained


def test_suppressions_say_why() -> None:
    """Whoever switches a check off writes the reason beside it, so that it can go when the reason goes."""
    found = {path: unexplained(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert [f"{relative([path])[0]}, {line}" for path, lines in found.items() for line in lines] == []


def test_tests_say_what_they_hold() -> None:
    """Every test has a docstring: the sentence that is broken when the test fails."""
    silent = [
        f"{relative([path])[0]}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def requirement_names(requirements: list[str]) -> set[str]:
    """The bare names of requirements such as `psycopg[binary,pool]>=3.2`."""
    return {re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0] for requirement in requirements}


def test_dependencies_are_explained() -> None:
    """Every direct dependency has a row in docs/dependencies.md that says why, and no row outlives its dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    wanted = requirement_names([*project["project"]["dependencies"], *groups["dev"], *groups["docs"]])
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2] for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    explained = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert explained == wanted


# Written in two parts so that this file does not find itself.
MACHINE_PATHS = re.compile("/ro" + r"ot/\w|/ho" + r"me/\w+/|/wo" + r"rk/(?:main|shared)|/op" + r"t/(?:wheels|pypi)")
REGISTRIES = re.compile(r"https?://[\w.-]*(?:py" + r"pi\.org|python" + r"hosted\.org|npm" + r"js\.org)")


def test_files_name_no_machine_and_no_registry() -> None:
    """What is committed works anywhere: only uv.lock, which uv writes, names where packages come from."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of committed files")
    found = []
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if name == "uv.lock" or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {match}" for match in MACHINE_PATHS.findall(text) + REGISTRIES.findall(text)]
    assert found == []
