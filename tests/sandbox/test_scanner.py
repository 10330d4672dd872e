"""Where an expression ends, and what of a script is code."""

from __future__ import annotations

import time

import pytest
from flowrunner.sandbox.scanner import code_only, end_of_expression

ENDS = {
    "plain": "a.b}",
    "object": "{a: {b: 1}}.a}",
    "arrow": "items.map(x => { return x; })}",
    "brace in a string": "'}' + \"}\"}",
    "escaped quote": r"'\'}' + 1}",
    "template literal": "`a}b`}",
    "nested template": "`a${`b${ {c: 1}.c }`}d`}",
    "line comment": "a // }\n + b}",
    "block comment": "a /* } */ + b}",
    "regex": "/}/.test(a)}",
    "regex class": "/[/}]+/.test(a)}",
    "regex after return": "(() => { return /}/ })()}",
    "regex after condition": "(() => { if (a) /}/.test(b) })()}",
    "regex after a block": "(() => { if (a) {} /}/.test(b) })()}",
    "division": "a / 2 + b / 3}",
    "division after parenthesis": "(a) / 2 + (b) / 3}",
    "division after increment": "a++ / 2 + b / 3}",
    "property named like a keyword": "a.return / 2 + b / 3}",
}


@pytest.mark.parametrize("text", ENDS.values(), ids=ENDS.keys())
def test_the_closing_brace_is_found(text: str) -> None:
    """The brace that ends an expression is told from every other brace."""
    assert end_of_expression(text + " tail } }", 0) == len(text) - 1


@pytest.mark.parametrize("text", ["a", "{a", "'}", "`}", "`${a}", "/* }", "// }"])
def test_an_expression_without_an_end_has_none(text: str) -> None:
    """-1 says that the text ends before the expression does."""
    assert end_of_expression(text, 0) == -1


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("a + 'nodes.b' + c", "a +           + c"),
        ("a // input\nb", "a         \nb".replace("\n", " ")),
        ("`text ${input.x} text`", "        input.x       "),
        ("/item/.test(index)", "      .test(index)"),
        ("a / item / b", "a / item / b"),
    ],
)
def test_only_code_is_left(source: str, code: str) -> None:
    """Strings, comments and regular expressions are blanked; what is left keeps its place."""
    left = code_only(source)
    assert left.split() == code.split()
    assert len(left) == len(source)
    assert all(char in (" ", source[place]) for place, char in enumerate(left))


SIZE = 128 * 1024
HOSTILE = ["`${", "/[", "}/[", "a/", "(", "'", "/*", "\\", "${", "$", ".", "1.", "`\\", " ", "{", "a ", "\n/"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_costs_linear_time(piece: str) -> None:
    """The worst pieces, many times over, lead neither to recursion nor to reading the text again and again.

    The limit is far above the tenths of a second that one pass takes, and far below what a quadratic one would.
    """
    text = (piece * (SIZE // len(piece)))[:SIZE]
    started = time.process_time()
    code_only(text)
    end_of_expression(text, 0)
    assert time.process_time() - started < 2
