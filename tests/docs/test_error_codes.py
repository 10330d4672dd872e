"""docs/errors.md has an entry for every code that the product can give, and none for any other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from flowrunner.api.errors import STATUS
from flowrunner.core.retry import NEVER_RETRIED
from flowrunner.engine.children import MAX_DEPTH
from flowrunner.errors import FlowrunnerError, StepError
from flowrunner.language.load import load_valid_flow

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "layers/flowrunner/python/flowrunner"
PAGE = (ROOT / "docs/errors.md").read_text("utf-8")
ENTRIES = dict(re.findall(r"^### `([^`]+)`\n(.+?)(?=\n\n#|\Z)", PAGE, re.MULTILINE | re.DOTALL))

FLOWS = ("core", "engine", "nodes", "sandbox")
"""Packages whose constants in capitals and underscores are codes, wherever they are put together."""
CAPITALS = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
MAKERS = {"ErrorFacts": 0, "answer": 1, "ScheduleFault": 0, "cls": 0}
"""What makes an error of a code: the place of the code among its arguments."""


def text_of(node: ast.expr | None) -> Iterator[str]:
    """The codes that an expression is, as far as it is written out; of a numbered one `Kind:`."""
    match node:
        case ast.Constant(value=str(code)) if re.fullmatch(r"[A-Z][\w:]+", code):
            yield code
        case ast.JoinedStr(values=[ast.Constant(value=str(kind)), *_]) if kind.endswith(":"):
            yield kind
        case ast.IfExp(body=body, orelse=other):
            yield from text_of(body)
            yield from text_of(other)


def codes_in(tree: ast.Module, *, constants: bool) -> Iterator[str]:
    """Every code that a module gives."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="code")], value=value)
                | ast.AnnAssign(target=ast.Name(id="code"), value=value)
            ):
                yield from text_of(value)
            case ast.Call(func=func, args=args, keywords=keywords):
                yield from (code for one in keywords if one.arg == "code" for code in text_of(one.value))
                place = MAKERS.get(ast.unparse(func).rpartition(".")[2])
                if place is not None and place < len(args):
                    yield from text_of(args[place])
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "code":
                        yield from text_of(value)
    for node in tree.body if constants else ():
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            yield from (code for code in text_of(node.value) if CAPITALS.fullmatch(code))


def given() -> set[str]:
    """Every code of the package, a numbered one as it stands on the page."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        inside = path.relative_to(PACKAGE).parts[0] in FLOWS
        found |= set(codes_in(ast.parse(path.read_text("utf-8")), constants=inside))
    numbered = {entry.partition(":")[0]: entry for entry in ENTRIES if ":<" in entry}
    return {numbered.get(code.partition(":")[0], code) if ":" in code else code for code in found}


def test_every_code_has_an_entry_and_every_entry_a_code() -> None:
    """In the words of the code, once each."""
    assert sorted(ENTRIES) == sorted(given())


def test_codes_are_found_wherever_they_are_written() -> None:
    """This test's own eyes: every way in which the package gives a code."""
    tree = ast.parse(
        "class A(StepError):\n    code = 'A_B'\n"
        "X = 'C_D'\n"
        "raise StepError('m', code='E_F' if x else 'GhI')\n"
        "raise StepError('m', code=f'Kind:{n}')\n"
        "ErrorFacts('JKL', 'm'); errors.answer(400, 'MNO', 'm')\n"
        "z = {'code': 'P_Q', 'other': 'R_S'}\n"
    )
    assert set(codes_in(tree, constants=True)) == {"A_B", "C_D", "E_F", "GhI", "Kind:", "JKL", "MNO", "P_Q"}
    assert "C_D" not in set(codes_in(tree, constants=False))


def test_entries_say_what_to_do() -> None:
    """None is just a heading."""
    assert [code for code, text in ENTRIES.items() if len(text) < 40] == []


def all_of(kind: type[FlowrunnerError]) -> Iterator[type[FlowrunnerError]]:
    """The class and what is derived from it."""
    yield kind
    for one in kind.__subclasses__():
        yield from all_of(one)


def test_it_says_what_is_tried_again() -> None:
    """As the classes of errors say."""
    for kind in all_of(StepError):
        entry = ENTRIES.get(kind.code)
        if entry is not None and issubclass(kind, StepError):
            assert entry.startswith("*Retryable") == kind.retryable or kind.code == "SECRET_UNREADABLE", kind.code
    for code in NEVER_RETRIED:
        assert ENTRIES[code].startswith("*Never retried.*")


def test_it_gives_the_status_of_answers() -> None:
    """Each beside its code."""
    for kind, status in STATUS:
        assert ENTRIES[kind.code].startswith(f"{status}. ")
    assert MAX_DEPTH == 10


def test_its_flow_loads() -> None:
    """The example is a flow."""
    [text] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert load_valid_flow(text).nodes
