"""Strings with expressions: splitting, native paths, and that native paths give what JavaScript gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flowrunner.sandbox.errors import ExpressionError, TemplateSyntaxError
from flowrunner.sandbox.evaluator import Sandbox
from flowrunner.sandbox.paths import UNDEFINED, parse_path
from flowrunner.sandbox.templates import Reference, compile_template
from flowrunner.sandbox.text import to_text
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

INPUT: dict[str, Any] = {
    "a": {"b": [10, {"c": "deep"}]},
    "s": "héllo",
    "pair": "x\U0001f600y",
    "n": None,
    "zero": 0,
    "f": 1.5,
    "whole": 2.0,
    "yes": True,
    "list": [1, [2], {"x": None}],
    "__proto__": {"own": 1},
    "with space": 1,
    "constructor_": 1,
    "big": 9007199254740993,
}


def render(value: Any, data: Any = INPUT) -> Any:
    """A native template's value over `data` as input."""
    template = compile_template(value)
    assert template.native
    return template.render(lambda root, key: data if root == "input" else UNDEFINED)


NATIVE: list[tuple[Any, Any]] = [
    ("plain", "plain"),
    ("${input.a.b[0]}", 10),
    ("${ input.a.b[1].c }", "deep"),
    ('${input["with space"]}', 1),
    ("${input['a']['b'][1]}", {"c": "deep"}),
    ("${input.missing}", None),
    ("${input.a.missing}", None),
    ("${input.a.b[9]}", None),
    ("${input.a.b.length}", 2),
    ("${input.s.length}", 5),
    ("${input.s[1]}", "é"),
    ("${input.pair.length}", 4),
    ("${input.zero.x}", None),
    ("${input.constructor}", None),
    ("${input.a.toString}", None),
    ("${input.list.push}", None),
    ("${input.__proto__.own}", 1),
    ("${input.a.__proto__}", None),
    ("${input.yes}", True),
    ("${input.n}", None),
    ("<${input.n}${input.missing}>", "<>"),
    ("${input.yes} ${input.f} ${input.whole} ${input.zero}", "true 1.5 2 0"),
    ("${input.big}", 9007199254740993),
    ("id ${input.big}", "id 9007199254740993"),
    ("list ${input.list}", 'list [1,[2],{"x":null}]'),
    ("$${input.a} and $$", "${input.a} and $$"),
    ("${input.zero}$${x}${input.zero}", "0${x}0"),
    ("a } b { c", "a } b { c"),
    ("$ { {{ input.a }} <%= 1 %>", "$ { {{ input.a }} <%= 1 %>"),
    (
        {"${input.s}": ["${input.f}", {"k": "v${input.zero}"}], "c": [1, None]},
        {"${input.s}": [1.5, {"k": "v0"}], "c": [1, None]},
    ),
]


@pytest.mark.parametrize(("value", "expected"), NATIVE, ids=[str(value)[:40] for value, _ in NATIVE])
def test_native_templates(value: Any, expected: Any) -> None:
    """A template of paths is rendered without JavaScript, with JavaScript's result."""
    result = render(value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${input.missing.x}", "cannot read 'x' of undefined in input.missing.x"),
        ("${input.n.x.y}", "cannot read 'x' of null in input.n.x.y"),
        ("${input.n[0]}", "cannot read '0' of null in input.n[0]"),
        (
            "${nodes.later.output.id}",
            "cannot read 'output' of undefined in nodes.later.output.id: node 'later' has not run",
        ),
        ("${item.x}", "cannot read 'x' of undefined in item.x"),
    ],
)
def test_a_step_through_nothing_names_the_path(value: str, message: str) -> None:
    """Reading on from null or undefined is an error that names the path, as a whole value and inside text."""
    for text in (value, f"a {value} b"):
        with pytest.raises(ExpressionError) as caught:
            render(text)
        assert caught.value.message == message
        assert caught.value.code == "EXPRESSION_ERROR"


def test_the_error_of_a_very_long_path_is_short() -> None:
    """An error does not repeat ten thousand characters to its reader."""
    with pytest.raises(ExpressionError) as caught:
        render("${input.zz" + ".f" * 5000 + "}")
    assert len(caught.value.message) < 300


SYNTAX: list[tuple[Any, tuple[str | int, ...], int, str]] = [
    ("a ${input.x", (), 2, "no closing brace"),
    ({"a": ["x", "${}"]}, ("a", 1), 0, "empty"),
    ({"a": {"b": "ok ${  } x"}}, ("a", "b"), 3, "empty"),
    (["${'}"], (0,), 0, "no closing brace"),
]


@pytest.mark.parametrize(("value", "path", "offset", "words"), SYNTAX, ids=[str(case[0]) for case in SYNTAX])
def test_a_bad_template_names_the_place(value: Any, path: tuple[str | int, ...], offset: int, words: str) -> None:
    """Path to the string and offset in it are told, and what to do."""
    with pytest.raises(TemplateSyntaxError) as caught:
        compile_template(value)
    assert (caught.value.path, caught.value.offset) == (path, offset)
    assert words in caught.value.message


def test_what_a_template_tells_of_itself() -> None:
    """Constants, native templates and others are told apart, with what they mention."""
    constant = compile_template({"a": [1, "x", "$${y}"]})
    native = compile_template(["${nodes.a.output}", "${secrets.K}"])
    script = compile_template("${input.a + 1}")
    assert (constant.constant, native.constant, script.constant) == (True, False, False)
    assert (constant.native, native.native, script.native) == (True, True, False)
    assert native.references == {Reference("nodes", "a"), Reference("secrets", "K")}
    assert [(one.source, one.path) for one in native.expressions] == [
        ("nodes.a.output", (0,)),
        ("secrets.K", (1,)),
    ]


def test_results_are_put_in_their_places() -> None:
    """`assemble` keeps a whole value's type and makes text of the others."""
    template = compile_template({"a": "${1+1}", "b": "x${[1]}y${null}", "c": "${undefined}"})
    assert template.assemble([2, [1], None, UNDEFINED]) == {"a": 2, "b": "x[1]y", "c": None}


def test_a_value_is_not_looked_at_for_expressions_again() -> None:
    """One pass only: text that looks like an expression and comes from data stays text."""
    assert render("${input.t}", {"t": "${secrets.KEY}"}) == "${secrets.KEY}"
    assert render("say ${input.t}", {"t": "${secrets.KEY}"}) == "say ${secrets.KEY}"


@pytest.mark.parametrize(
    "source",
    [
        "a.b",
        "input.a + 1",
        "input.a()",
        "input?.a",
        "input[x]",
        "input[-1]",
        "input[1.5]",
        "input[01]",
        "input.1",
        "input..a",
        "inputs",
        "",
        "input.a;",
    ],
)
def test_what_is_more_than_a_path_goes_to_the_engine(source: str) -> None:
    """Only what is certainly a path is resolved here."""
    assert parse_path(source) is None


_numbers = st.one_of(
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 1e21, 1e-7, 123456789012345680000.0, 5e-324, 1.7976931348623157e308, -0.0, 0.000001, 1e20]),
)
_keys = st.one_of(st.sampled_from(["a", "b", "length", "0", "1", "é", "x y", ""]), st.text(max_size=3))
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), _numbers, st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_keys, inner, max_size=4)),
    max_leaves=12,
)
_steps = st.one_of(
    st.sampled_from(
        [
            ".a",
            ".b",
            ".length",
            "[0]",
            "[1]",
            "[7]",
            '["0"]',
            '["01"]',
            '["x y"]',
            "['é']",
            '["length"]',
            '[""]',
        ]
    )
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=_values, steps=st.lists(_steps, max_size=4).map("".join))
@example(data={"a": "\U0001f600"}, steps=".a.length")
@example(data={"a": "\U0001f600"}, steps=".a[0]")
@example(data=[1, 2], steps='["length"]')
@example(data=1e-7, steps="")
def test_native_paths_give_what_the_engine_gives(scene: Callable[..., Any], data: Any, steps: str) -> None:
    """A path means the same natively and in JavaScript, as a whole value, inside text, and when it fails."""
    source = f"input{steps}"

    def outcome(evaluate: Callable[[], Any]) -> Any:
        try:
            return evaluate()
        except ExpressionError:
            return ExpressionError

    at = scene(input=data)
    native = outcome(lambda: compile_template(f"${{{source}}}").render(at.load))
    assert parse_path(source) is not None
    assert _as_doubles(native) == _as_doubles(outcome(lambda: at.expressions(f"({source})")[0]))
    if native is not ExpressionError and not _has_index_key(native):
        text = f"((x) => x === null || x === undefined ? '' : typeof x === 'object' ? JSON.stringify(x) : String(x))({source})"
        assert to_text(native) == at.expressions(text)[0]


def _as_doubles(value: Any) -> Any:
    """The value with numbers as JavaScript has them."""
    if isinstance(value, dict):
        return {key: _as_doubles(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_doubles(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _has_index_key(value: Any) -> bool:
    """Whether an object in there has keys that JavaScript puts first, whatever their place was."""
    if isinstance(value, dict):
        return any(key.isdecimal() for key in value) or any(map(_has_index_key, value.values()))
    return isinstance(value, list) and any(map(_has_index_key, value))


def test_native_paths_never_start_the_engine() -> None:
    """Rendering a native template asks the loader and nothing else."""
    asked: list[tuple[str, str | None]] = []

    def load(root: str, key: str | None) -> Any:
        asked.append((root, key))
        return {"output": 1}

    assert compile_template("${nodes.a.output}").render(load) == 1
    assert asked == [("nodes", "a")]


def test_expressions_keep_their_type(sandbox: Sandbox, scene: Callable[..., Any]) -> None:
    """A string that is one expression keeps the value's type; in others the values become text."""
    at = scene(input={"n": 2})
    value = {
        "sum": "${input.n + 1}",
        "text": "${input.n + 1} and ${[input.n, {a: 1}]}",
        "none": "${undefined}",
        "nan": "${0/0}",
    }
    assert at.template(value) == {"sum": 3, "text": '3 and [2,{"a":1}]', "none": None, "nan": None}
