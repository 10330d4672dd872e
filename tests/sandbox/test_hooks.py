"""Hooks: what they see, what they give, and the effects that are kept until they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flowrunner.sandbox.errors import ScriptError
from flowrunner.sandbox.evaluator import LogEntry
from flowrunner.sandbox.references import Reference

Scenes = Callable[..., Any]

RESULTS: list[tuple[str, Any]] = [
    ("return {value: input.n + 1}", {"value": 3}),
    ("return", None),
    ("", None),
    ("return undefined", None),
    ("return NaN", None),
    ("return [undefined, () => 1, Infinity]", [None, None, None]),
    ("return {a: undefined, b: () => 1, c: new Date(0)}", {"c": "1970-01-01T00:00:00.000Z"}),
    ("return '\\ud800x'", "\ufffdx"),
    ("return '\\ud83d\\ude00 \\u0000 \\u2028'", "\U0001f600 \0 \u2028"),
    ('return JSON.parse(\'{"__proto__": {"admin": true}}\')', {"__proto__": {"admin": True}}),
    ('return {"$bytes": "aGk="}', {"$bytes": "aGk="}),
    ("const input = 5; return input", 5),
    ("let item = 1; var params = 2; return item + params", 3),
    ("return 1 // the end", 1),
    ("return typeof item + typeof error + typeof nodes.none + typeof vars.none", "undefined" * 4),
    ("function f(x) { return x * 2 } return f(4)", 8),
    ("return nodes.a.output.id + nodes['a'].status", "7succeeded"),
    ("return Object.keys(nodes).sort().join() + ('b' in nodes) + ('zz' in nodes)", "a,btruefalse"),
    ("return {...vars}", {"list": [1], "n": 1}),
    ("return vars.n + secrets.KEY", "1s3cret"),
    ("return 2**64 + 2**70", 2**64 + 2**70),
]


@pytest.fixture
def at(scene: Scenes) -> Any:
    """A scene with a little of everything."""
    return scene(
        input={"n": 2, "items": [1, 2]},
        nodes={"a": {"output": {"id": 7}, "status": "succeeded"}, "b": {"output": None, "status": "failed"}},
        vars={"n": 1, "list": [1]},
        secrets={"KEY": "s3cret"},
    )


@pytest.mark.parametrize(("body", "value"), RESULTS, ids=[body[:50] for body, _ in RESULTS])
def test_what_a_hook_returns(at: Any, body: str, value: Any) -> None:
    """A hook's result is its return value as JSON.stringify gives it."""
    assert at.hook(body).value == value


REFUSED: list[tuple[str, str]] = [
    ("return 10n", "TypeError: a BigInt is not JSON; use Number(value) or String(value)"),
    ("return {x: {y: 1n}}", 'TypeError: a BigInt at "y" is not JSON; use Number(value) or String(value)'),
    ("return new Map([[1, 2]])", "TypeError: a Map is not JSON; use Object.fromEntries(map)"),
    ("return {s: new Set([1])}", 'TypeError: a Set at "s" is not JSON; use [...set]'),
    ("return () => 1", "TypeError: the result is a function, which is not JSON"),
    ("return Symbol('x')", "TypeError: the result is a symbol, which is not JSON"),
    ("return (async () => 1)()", "TypeError: the script is asynchronous; async and await are not supported"),
    (
        "return [Promise.resolve(1)]",
        'TypeError: a promise at "0" is not JSON; async and await are not supported',
    ),
    ("const o = {}; o.self = o; return o", "TypeError: circular reference"),
    ("vars.f = () => 1", "TypeError: vars.f is a function, which is not JSON"),
    ("emit('', 1)", "TypeError: emit(name, data): the name is a text"),
    ("emit('x', () => 1)", "TypeError: the data of emit is a function, which is not JSON"),
    ("vars = {x: 1}", "TypeError: 'vars' is read-only"),
    ("input = {}", "TypeError: 'input' is read-only"),
    ("nodes.a = 1", "TypeError: nodes is read-only"),
    ("delete secrets.KEY", "TypeError: secrets is read-only"),
    ("return JSON.stringify(secrets)", "secrets can be read one by one only: secrets.NAME"),
    ("return `${secrets}`", "secrets can be read one by one only: secrets.NAME"),
    ("await x", "SyntaxError: await is not supported: scripts are synchronous"),
    ("import('fs')", "SyntaxError: import is not supported in scripts"),
    ("import fs from 'fs'", "SyntaxError: import and export are not supported in scripts"),
    ("throw 'just text'", "just text"),
    ("throw {code: 7}", '{"code":7}'),
    ("throw undefined", "undefined"),
    ("throw {toJSON() { throw 1 }}", "[not JSON]"),
    (
        "class Odd extends Error { get message() { throw 1 } } throw new Odd()",
        "Error: an error that cannot be shown",
    ),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=[body[:50] for body, _ in REFUSED])
def test_what_a_hook_may_not_do(at: Any, body: str, message: str) -> None:
    """What cannot be kept as JSON, or does not exist in scripts, is refused in words that say what to do."""
    with pytest.raises(ScriptError) as caught:
        at.hook(body)
    assert caught.value.message == message
    assert caught.value.code == "SCRIPT_ERROR"


PLACES: list[tuple[str, tuple[int, int] | None]] = [
    ("return input.missing.foo", (1, 8)),
    ("const a = 1;\n  const b = input.x.y;", (2, 13)),
    ("const f = () => {\n  throw new Error('x')\n}\nf()", (2, 13)),
    ("return [1].map(x =>\n  x.y.z)", (2, 3)),
    ("\n\nnope()", (3, 1)),
    ("eval('\\n\\nnope()')", (1, 1)),
    ("return jsonpath(input, '$[')", (1, 17)),
    ("throw 'no error'", None),
    ("if (x", (1, 6)),
    ("let a = 1;\nlet b = ;", (2, 9)),
]


@pytest.mark.parametrize(("body", "place"), PLACES, ids=[body[:40] for body, _ in PLACES])
def test_an_error_names_line_and_column(at: Any, body: str, place: tuple[int, int] | None) -> None:
    """The place is the innermost one within the hook, whose first line is 1."""
    with pytest.raises(ScriptError) as caught:
        at.hook(body)
    details = caught.value.details
    found = (details["line"], details["column"]) if "line" in details else None
    assert found == place


def test_log_and_emit_are_kept_in_order(at: Any) -> None:
    """Lines have a level and text, objects as JSON; events have a name and data."""
    done = at.hook(
        "log('a', {b: 1}, [2], null, undefined); log.warn('w'); log.error(new TypeError('bad'));"
        "console.log('c'); console.debug('d'); console.info(1); const o = {}; o.o = o; log(o);"
        "emit('one', {x: 1}); emit('two');"
    )
    assert done.logs == (
        LogEntry("info", 'a {"b":1} [2] null undefined'),
        LogEntry("warning", "w"),
        LogEntry("error", "TypeError: bad"),
        LogEntry("info", "c"),
        LogEntry("debug", "d"),
        LogEntry("info", "1"),
        LogEntry("info", "[circular reference]"),
    )
    assert done.events == (("one", {"x": 1}), ("two", None))


def test_what_is_emitted_is_a_copy(at: Any) -> None:
    """An event holds what its data was when it was emitted."""
    assert at.hook("const o = {n: 1}; emit('e', o); o.n = 2;").events == (("e", {"n": 1}),)


def test_a_failed_hook_keeps_its_logs(at: Any) -> None:
    """What was logged before an error is what its author looks for first."""
    with pytest.raises(ScriptError) as caught:
        at.hook("log('so far'); throw new Error('so good')")
    assert caught.value.logs == (LogEntry("info", "so far"),)


VARS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("vars.x = 1", {"x": 1}, ()),
    ("vars.n = 1", {"n": 1}, ()),
    ("vars.n++", {"n": 2}, ()),
    ("vars.list.push(2)", {"list": [1, 2]}, ()),
    ("const l = vars.list; l[0] = {deep: 1}", {"list": [{"deep": 1}]}, ()),
    ("vars['li' + 'st'].push(2)", {"list": [1, 2]}, ()),
    ("Object.values(vars).forEach(v => Array.isArray(v) && v.push(9))", {"list": [1, 9]}, ()),
    ("vars.list.push(2); vars.list.pop()", {}, ()),
    ("return vars.n + vars.list.length", {}, ()),
    ("delete vars.n", {}, ("n",)),
    ("vars.n = undefined", {}, ("n",)),
    ("delete vars.n; vars.n = 3", {"n": 3}, ()),
    ("vars.x = 1; delete vars.x", {}, ("x",)),
    ("vars.n = null", {"n": None}, ()),
    ("vars.x = vars.list; vars.x.push(5)", {"list": [1, 5], "x": [1, 5]}, ()),
    ("Object.assign(vars, {a: 1, b: 2})", {"a": 1, "b": 2}, ()),
    ("vars['__proto__'] = 1", {"__proto__": 1}, ()),
]


@pytest.mark.parametrize(("body", "written", "deleted"), VARS, ids=[body for body, _, _ in VARS])
def test_writes_to_vars(at: Any, body: str, written: dict[str, Any], deleted: tuple[str, ...]) -> None:
    """Assignment, deletion and changes in place are noticed, key by key; reading writes nothing."""
    done = at.hook(body)
    assert (done.vars_written, done.vars_deleted) == (written, deleted)


def test_a_hook_sees_its_own_writes(at: Any) -> None:
    """After a write the new value is read, after a deletion none."""
    body = "vars.n = 5; delete vars.list; return [vars.n, vars.list, 'list' in vars, Object.keys(vars)]"
    assert at.hook(body).value == [5, None, False, ["n"]]


@pytest.mark.parametrize(
    ("body", "context"),
    [("context.a = 1", {"given": 1, "a": 1}), ("context = {b: 2}", {"b": 2}), ("return 5", {"given": 1})],
)
def test_prep_changes_its_context(at: Any, body: str, context: Any) -> None:
    """`prep` may change `context` or put another in its place."""
    assert at.hook(body, name="prep", context={"given": 1}).context == context


def test_other_hooks_only_read_the_context(at: Any) -> None:
    """In `exec` and `post` a changed context has no effect, and putting another in its place is an error."""
    assert at.hook("context.a = 1; return context.given", context={"given": 1}).context is None
    with pytest.raises(ScriptError, match="read-only"):
        at.hook("context = {}", context={"given": 1})


def test_extra_bindings_are_constants_by_their_names(at: Any) -> None:
    """Whatever is given besides is bound by name and comes before what could be loaded."""
    assert at.hook("return [customer.id, params.x, input]", customer={"id": 1}, params={"x": 2}, input="own").value == [
        1,
        2,
        "own",
    ]
    assert ("input", None) not in at.loaded
    assert at.hook("return customer + secrets.KEY", customer=1).touched == {Reference("secrets", "KEY")}


def test_a_binding_needs_a_name_that_scripts_can_use(at: Any) -> None:
    """A name never becomes code."""
    with pytest.raises(ScriptError, match="no name that a script can use"):
        at.hook("return 1", **{"x}, $c = (() => { while (1); })(), {y": 1})


def test_values_beyond_what_orjson_writes_can_be_read(at: Any, scene: Scenes) -> None:
    """Numbers beyond 64 bits and lone surrogates reach a script."""
    assert scene(input=[2**70, "\ud800"]).hook("return [input[0] === 2**70, input[1].length]").value == [
        True,
        1,
    ]


def test_each_evaluates_for_every_item(at: Any) -> None:
    """`each` gives a row per item, with the item under its alias and its index."""
    assert at.each([1, 2], "item + 1", "index") == [[2, 0], [3, 1]]
    assert at.each(["a"], "word + input.n", alias="word") == [["a2"]]
    assert at.each([], "item") == []


def test_each_may_give_as_much_as_it_was_given(at: Any) -> None:
    """The result of a map over a large list is not held to the limit of a single hook."""
    items = [{"id": number, "text": "x" * 60} for number in range(10_000)]
    assert at.each(items, "item.text") == [["x" * 60]] * len(items)
    assert at.each(items, "item.id % 2 === 0")[:2] == [[True], [False]]


def test_an_error_of_each_names_the_item(at: Any) -> None:
    """The reader learns which of many items it was."""
    with pytest.raises(ScriptError) as caught:
        at.each([{"a": 1}, None], "item.a")
    assert caught.value.message == "TypeError: cannot read property 'a' of null in item.a (item 1)"
    assert caught.value.details == {"expression": "item.a", "item": 1}


def test_an_error_of_an_expression_names_it(at: Any) -> None:
    """Of several expressions the one that failed is shown."""
    with pytest.raises(ScriptError) as caught:
        at.expressions("1 + 1", "input.missing.x + 1")
    assert caught.value.code == "EXPRESSION_ERROR"
    assert caught.value.message == "TypeError: cannot read property 'x' of undefined in input.missing.x + 1"
