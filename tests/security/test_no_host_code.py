"""Texts of flows never reach an evaluator of the host's: there is none in the tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "layers/flowrunner/python/flowrunner"
CALLS = {"eval", "exec", "compile", "__import__"}
MODULES = {"jinja2", "mako", "simpleeval", "asteval", "RestrictedPython", "pickle", "shelve", "dill", "code", "codeop"}
"""Evaluators and template languages, and readers that run what they read."""
TRUSTING = {"worker.py", "wasm_worker.py"}
"""Confined processes, which read what their parent wrote (`marshal`); nobody reads what they write in that way."""
_WORTH_A_LOOK = re.compile(
    rf"(?<![\w.])(?:{'|'.join(CALLS)})\(|import (?:{'|'.join(MODULES)})\b|from (?:{'|'.join(MODULES)})\b|marshal"
)


def host_code(source: str) -> Iterator[str]:
    """Every use of what evaluates text as Python."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield f"{name}() on line {node.lineno}"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="marshal"), attr="load" | "loads")):
                yield f"marshal.loads() on line {node.lineno}"
            case ast.Import(names=names):
                yield from (f"import {one.name}" for one in names if one.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in MODULES:
                yield f"import {module}"


def test_nothing_evaluates_text_as_python() -> None:
    """No module calls `eval`, `exec` or `compile`, and none imports a template language or an unsafe reader."""
    texts = {path: path.read_text("utf-8") for path in PACKAGE.rglob("*.py") if path.name not in TRUSTING}
    found = {path.name: [*host_code(text)] for path, text in texts.items() if _WORTH_A_LOOK.search(text)}
    assert len(texts) > 300
    assert {name: uses for name, uses in found.items() if uses} == {}


@pytest.mark.parametrize(
    "source",
    ["eval('1')", "exec(x)", "import jinja2", "from jinja2.sandbox import X", "import pickle", "marshal.loads(x)"],
)
def test_it_would_be_found(source: str) -> None:
    """The search sees each of them."""
    assert _WORTH_A_LOOK.search(source)
    assert [*host_code(source)]
