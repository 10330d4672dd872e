"""The list of mutants that may live, docs/mutants.md, is about the core that is there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from tests.mutation.survivors import PAGE, Mutant, changed, listed, table

CORE = Path(__file__).parents[2] / "layers/flowrunner/python/flowrunner/core"


def source_of(function: str) -> str:
    """The lines of `decide._go_on` or `turn.Turn.put`, one behind the other as the list has them."""
    module, *path = function.split(".")
    source = (CORE / f"{module}.py").read_text("utf-8")
    body: list[ast.stmt] = ast.parse(source).body
    for name in path:
        found = next(
            (one for one in body if isinstance(one, ast.ClassDef | ast.FunctionDef) and one.name == name), None
        )
        assert found is not None, f"the core has no {function}: mend docs/mutants.md"
        body = found.body
    assert isinstance(found, ast.FunctionDef)
    return " ".join(line.strip() for line in source.splitlines()[found.lineno - 1 : found.end_lineno])


def test_what_may_live_is_a_change_of_what_is_there() -> None:
    """Whoever changes such a line looks at its mutants again: a row names its function and holds the line as it is."""
    rows = listed()
    assert rows
    for mutant in rows:
        assert mutant.before in source_of(mutant.function), f"docs/mutants.md is about a line that is no more: {mutant}"
        assert mutant.before != mutant.after


def test_nothing_is_listed_twice() -> None:
    """And as many are as the figures say that live."""
    rows = listed()
    assert [mutant for mutant, count in Counter(rows).items() if count > 1] == []
    (alive,) = re.findall(r"^\| \*\*all\*\* \| \d+ \| \d+ \| \d+ \| (\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert int(alive) == len(rows)


def test_what_lives_is_told_by_its_line() -> None:
    """Numbers of mutants change with every edit; function, line and changed line do not."""
    original = ["    if n < 0:", "        return -1 | n", "    return 1"]
    flipped = changed("sign.sign", original, [original[0], "        return +1 | n", original[2]])
    removed = changed("sign.Sign.of", original, original[:2])
    assert flipped == Mutant("sign.sign", "return -1 | n", "return +1 | n")
    assert flipped.row() == r"| `sign.sign` | `` return -1 \| n `` | `` return +1 \| n `` |"
    assert removed == Mutant("sign.Sign.of", "return 1", "")
    assert removed.row() == "| `sign.Sign.of` | `` return 1 `` | `` (removed) `` |"


def test_what_no_test_reaches_lives() -> None:
    """And what runs without an end does not: a test that never passes notices."""
    one, two = Mutant("sign.sign", "1", "2"), Mutant("turn.Turn.put", "1", "2")
    figures = table([(one, "killed"), (one, "no end"), (two, "killed"), (one, "alive"), (one, "no test")])
    assert figures.splitlines()[2:] == [
        "| sign | 4 | 1 | 1 | 2 | 50.0 % |",
        "| turn | 1 | 1 | 0 | 0 | 100.0 % |",
        "| **all** | 5 | 2 | 1 | 2 | 60.0 % |",
    ]
