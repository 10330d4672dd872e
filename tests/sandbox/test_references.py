"""What a script mentions."""

from __future__ import annotations

import pytest
from flowrunner.sandbox.references import Reference, references

CASES: list[tuple[str, set[tuple[str, str | None]]]] = [
    ("input.a", {("input", None)}),
    ("nodes.fetch.output", {("nodes", "fetch")}),
    ("nodes['a-b'].output", {("nodes", "a-b")}),
    ('nodes?.["a b"].output', {("nodes", "a b")}),
    ("nodes?.fetch", {("nodes", "fetch")}),
    ("nodes\n  .fetch", {("nodes", "fetch")}),
    ("nodes[x]", {("nodes", None)}),
    ("nodes['a' + x]", {("nodes", None)}),
    ("Object.keys(nodes)", {("nodes", None)}),
    ("vars.count = 1; delete vars.old", {("vars", "count"), ("vars", "old")}),
    ("secrets.KEY + secrets['OTHER']", {("secrets", "KEY"), ("secrets", "OTHER")}),
    ("[...input.items, item, index]", {("input", None), ("item", None), ("index", None)}),
    ("`${prev.x} ${'input'}`", {("prev", None)}),
    ("'input' // nodes.a\n/* vars.b */", set()),
    ("/input/.test(x)", set()),
    ("x.input + my_input + inputs + $input", set()),
    (
        "error.code + run.id + flow.id + account.id",
        {("error", None), ("run", None), ("flow", None), ("account", None)},
    ),
]


@pytest.mark.parametrize(("source", "expected"), CASES, ids=[source for source, _ in CASES])
def test_what_is_mentioned(source: str, expected: set[tuple[str, str | None]]) -> None:
    """Roots are found in code only, with their key where it stands there by name."""
    assert references(source) == {Reference(root, key) for root, key in expected}
