"""Plugins in a folder: found, loaded again when they change, and harmless when they are broken."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from flowrunner.errors import NotFound
from flowrunner.nodes.plugins import ENTRY_POINTS, HELPER_POINTS
from flowrunner.nodes.registry import Registry

GREET = '''
from flowrunner.nodes.base import Context, NodeType, Params, Result

__version__ = "1.2"
closed = []


class GreetParams(Params):
    name: str


class Greet(NodeType[GreetParams]):
    """Greets."""

    name = "greet"
    params = GreetParams

    def execute(self, ctx: Context[GreetParams]) -> Result:
        return Result("hi")

    def shutdown(self) -> None:
        closed.append("old")
'''
BROKEN = "def (:\n"
SHOUT = {"shout": "x => x.toUpperCase()"}


def registry(folder: Path) -> Registry:
    """One that looks at the folder whenever it is asked."""
    return Registry((), folder, (), every=0)


def write(folder: Path, name: str, text: str) -> Path:
    """A file in the folder, with a size or time of its own."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def test_files_packages_and_helpers_are_plugins(tmp_path: Path) -> None:
    """Each with what it adds; names that begin with _ or a point are left alone."""
    write(tmp_path, "greet.py", GREET)
    write(tmp_path, "box/__init__.py", "from .inner import Other\nHELPERS = {'double': '(x) => 2 * x'}\n")
    write(tmp_path, "box/inner.py", GREET.replace('"greet"', '"other"').replace("class Greet(", "class Other("))
    write(tmp_path, "shout.js", SHOUT["shout"])
    write(tmp_path, "_mine.py", BROKEN)
    write(tmp_path, ".hidden.py", BROKEN)
    write(tmp_path, "notes.txt", "no plugin")
    found = registry(tmp_path)
    shown = {
        one.name: (one.version, one.source, one.node_types, one.helpers, one.error)
        for one in found.installed().values()
    }
    assert shown == {
        "greet": ("1.2", "folder", ("greet",), (), None),
        "box": (None, "folder", ("other",), ("double",), None),
        "shout": (None, "folder", (), ("shout",), None),
    }
    assert found.helper_sources() == {**SHOUT, "double": "(x) => 2 * x"}
    assert found.plugin_of("other") == "box"
    assert found.plugin_of("transform") is None
    assert found.get("greet").name == "greet"
    assert found.describe("other").plugin
    assert not (tmp_path / "__pycache__").exists()


def test_a_change_is_taken_without_a_restart(tmp_path: Path) -> None:
    """A new parameter, a new file, a removed one; what flows were compiled with before is not used any more."""
    write(tmp_path, "greet.py", GREET)
    found = registry(tmp_path)
    first, generation = found.get("greet"), found.generation
    assert found.get("greet") is first
    assert found.generation == generation
    write(tmp_path, "greet.py", GREET.replace("name: str\n", "name: str\n    loud: bool = False\n"))
    assert found.generation > generation
    assert found.field_names("greet") == {"name", "loud"}
    assert found.get("greet") is not first
    assert sys.modules[type(first).__module__].closed == [], "its steps may still be under way"
    write(tmp_path, "new.py", GREET.replace('"greet"', '"new"'))
    same = found.get("greet")
    assert found.known("new")
    assert found.get("greet") is same, "a file that has not changed is not loaded again"
    (tmp_path / "greet.py").unlink()
    assert not found.known("greet")
    with pytest.raises(NotFound, match="unknown node type 'greet'"):
        found.get("greet")
    found.shutdown()
    assert sys.modules[type(first).__module__].closed == ["old"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BROKEN, "SyntaxError"),
        ("x = 1\nraise RuntimeError('no licence')\n", "RuntimeError: no licence (bad.py, line 2)"),
        ("import no_such_module\n", "ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("HELPERS = {'a b': 'x => x'}\n", "'a b' is no name"),
        ("HELPERS = ['x']\n", "no mapping"),
    ],
)
def test_a_broken_file_breaks_nothing_else(tmp_path: Path, text: str, said: str) -> None:
    """It is listed with its error, and its line where that can be told."""
    write(tmp_path, "bad.py", text)
    write(tmp_path, "greet.py", GREET)
    found = registry(tmp_path)
    assert said in (found.installed()["bad"].error or "")
    assert found.get("greet").name == "greet"
    assert {name for name in sys.modules if name.endswith("_bad")} == set()


def test_a_file_that_breaks_goes_on_as_it_was(tmp_path: Path) -> None:
    """Until it is whole again; the error is told meanwhile."""
    write(tmp_path, "greet.py", GREET)
    found = registry(tmp_path)
    before = found.get("greet")
    write(tmp_path, "greet.py", BROKEN)
    assert "the version before goes on" in (found.installed()["greet"].error or "")
    assert found.get("greet") is before
    write(tmp_path, "greet.py", GREET + "\n")
    assert found.installed()["greet"].error is None
    assert found.get("greet") is not before


def test_names_that_are_taken_are_refused(tmp_path: Path) -> None:
    """By a built-in type or by another plugin: which of two a flow means cannot be told."""
    for file, name in (("a.py", "twice"), ("b.py", "twice"), ("c.py", "transform")):
        write(tmp_path, file, GREET.replace('"greet"', f'"{name}"'))
    found = registry(tmp_path)
    assert "built-in" in found.plugin_errors()["transform"]
    assert found.plugin_errors()["twice"].startswith("both ")
    with pytest.raises(NotFound, match="want this name"):
        found.get("twice")


def test_a_folder_that_is_not_there_has_no_plugins(tmp_path: Path) -> None:
    """It may come later."""
    found = registry(tmp_path / "later")
    assert found.installed() == {}
    write(tmp_path, "later/greet.py", GREET)
    assert found.known("greet")


def test_the_folder_is_not_looked_at_all_the_time(tmp_path: Path) -> None:
    """Between two looks nothing is asked of the disk."""
    found = Registry((), tmp_path, (), every=3_600)
    assert not found.known("greet")
    write(tmp_path, "greet.py", GREET)
    assert not found.known("greet")


def test_packages_bring_helpers_by_entry_point() -> None:
    """One that cannot be loaded is an error of its plugin."""
    here = sys.modules[__name__]
    sys.modules["tests_of_plugin_helpers"] = here
    points = [
        EntryPoint("good", "tests_of_plugin_helpers:SHOUT", HELPER_POINTS),
        EntryPoint("bad", "tests_of_plugin_helpers:GREET", HELPER_POINTS),
    ]
    try:
        found = Registry([EntryPoint("gone", "no_such_module:Node", ENTRY_POINTS)], None, points)
        assert found.helpers() == {"shout": ("good", SHOUT["shout"])}
        assert "no mapping" in (found.installed()["bad"].error or "")
        assert found.installed()["gone"].error is None, "a node type is loaded when it is used"
        assert found.installed()["good"].helpers == ("shout",)
    finally:
        del sys.modules["tests_of_plugin_helpers"]
