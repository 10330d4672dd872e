"""json.parse and json.stringify."""

from __future__ import annotations

import base64
import json

import pytest
from flowrunner.core.flow import Json
from flowrunner.errors import StepError, ValueTooLarge
from flowrunner.nodes import json_parse, json_stringify
from flowrunner.nodes.base import Result
from flowrunner.nodes.json_parse import JsonParseNode, parse_json
from flowrunner.nodes.json_stringify import JsonStringifyNode
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nodes.context import context

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _bytes(content: bytes) -> Json:
    return {"$bytes": base64.b64encode(content).decode()}


@pytest.mark.parametrize(
    ("params", "input", "output"),
    [
        ({"text": '{"a": [1, 2.5, true, null, "x"]}'}, None, {"a": [1, 2.5, True, None, "x"]}),
        ({}, "[1]", [1]),
        ({"text": "3"}, "[1]", 3),
        ({}, "\ufeff[1]", [1]),
        ({}, _bytes('["é"]'.encode()), ["é"]),
        ({}, '{"a": 1, "a": 2}', {"a": 2}),
        ({}, '"\\ud83d\\ude00"', "😀"),
        ({}, "-9223372036854775808", -(2**63)),
        ({}, "[" * 128 + "]" * 128, json.loads("[" * 128 + "]" * 128)),
        ({}, '{"__proto__": {"x": 1}}', {"__proto__": {"x": 1}}),
    ],
)
def test_parse_reads_json(params: dict[str, Json], input: Json, output: Json) -> None:
    """The value of the text is the output."""
    node = JsonParseNode()
    assert node.execute(context(node, params, input=input)) == Result(output)


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("", "not JSON: Expecting value", (1, 1)),
        ('{"a": 1,\n "b" 2}', "not JSON: Expecting ':' delimiter", (2, 6)),
        ("[1, 2] x", "not JSON: Extra data", (1, 8)),
        ("{'a': 1}", "not JSON: Expecting property name", (1, 2)),
        ('["a\nb"]', "not JSON: Invalid control character", (1, 4)),
        ('["NaN",\n NaN]', "NaN is no JSON value", (2, 2)),
        ("[-Infinity]", "-Infinity is no JSON value", (1, 2)),
        ('{"a": "1e999", "b": 1e999}', "1e999 is too large a number", (1, 21)),
        ("[9223372036854775808]", "9223372036854775808 is an integer outside 64 bits", (1, 2)),
        ('[NaN0"' + '\\"' * 300_000, "NaN is no JSON value", (1, 2)),
        ("9" * 5_000, "is an integer outside 64 bits", (1, 1)),
        ("[" * 129 + "]" * 129, "nested deeper than 128", None),
        ("[" * 200_000, "nested deeper than 128", None),
        ('["\\ud800"]', "half of a surrogate pair", None),
        ('{"\\udfff": 1}', "half of a surrogate pair", None),
        ('{"a": {"b": ["\\ud800\\ud800"]}}', "half of a surrogate pair", None),
    ],
)
def test_parse_refuses_what_is_no_json(text: str, message: str, place: tuple[int, int] | None) -> None:
    """Each refusal says why, and where if the parser knows."""
    with pytest.raises(StepError) as caught:
        parse_json(text)
    assert caught.value.code == "JSON_INVALID"
    assert message in caught.value.message
    assert len(caught.value.message) < 200
    if place is not None:
        assert (caught.value.details["line"], caught.value.details["column"]) == place
        assert f"(line {place[0]}, column {place[1]})" in caught.value.message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "takes a text or bytes, not a number"),
        (None, "takes a text or bytes, not null"),
        ({"$bytes": "no base64!"}, "the bytes are no UTF-8 text"),
        ({"$bytes": 5}, "the bytes are no UTF-8 text"),
        ({"$bytes": "/w=="}, "the bytes are no UTF-8 text"),
        ({"$bytes": "", "more": 1}, "takes a text or bytes, not an object"),
    ],
)
def test_parse_takes_only_text(value: Json, message: str) -> None:
    """What is neither text nor UTF-8 bytes is refused by kind."""
    node = JsonParseNode()
    with pytest.raises(StepError, match=message):
        node.execute(context(node, {"text": value}))


def test_parse_bounds_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text beyond the limit is refused before anything is made of it."""
    monkeypatch.setattr(json_parse, "MAX_LENGTH", 10)
    assert parse_json("[1,2,3,45]") == [1, 2, 3, 45]
    with pytest.raises(StepError, match="11 characters; 10 are read at most"):
        parse_json("[1,2,3,456]")


@pytest.mark.parametrize(
    ("params", "input", "text"),
    [
        ({"value": {"b": 1, "a": [True, None]}}, None, '{"b":1,"a":[true,null]}'),
        ({"value": {"b": 1, "a": 2}, "sort_keys": True}, None, '{"a":2,"b":1}'),
        ({"value": None}, 5, "null"),
        ({}, "é", '"é"'),
        ({"value": [1], "indent": 2}, None, "[\n  1\n]"),
        ({"value": {"b": 1, "a": 2}, "indent": 0, "sort_keys": True}, None, '{\n"a": 2,\n"b": 1\n}'),
    ],
)
def test_stringify_writes_json(params: dict[str, Json], input: Json, text: str) -> None:
    """The text is compact, or indented if that is wanted."""
    node = JsonStringifyNode()
    assert node.execute(context(node, params, input=input)) == Result(text)


def test_stringify_bounds_an_indented_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Indenting cannot multiply a value beyond the limit."""
    monkeypatch.setattr(json_stringify, "MAX_LENGTH", 100)
    node = JsonStringifyNode()
    with pytest.raises(ValueTooLarge, match="more than 100 characters"):
        node.execute(context(node, {"value": [[[[1]]]] * 5, "indent": 16}))


@settings(max_examples=60, deadline=None)
@given(VALUES, st.none() | st.integers(0, 4))
def test_what_is_written_is_read_again(value: Json, indent: int | None) -> None:
    """Parsing what stringify wrote gives the value back."""
    node = JsonStringifyNode()
    done = node.execute(context(node, {"value": value, "indent": indent}))
    assert parse_json(done.output) == value


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='{}[]",:\\ud8e1.-+0Nanflsu \n', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text does anything but give a value or the documented error."""
    try:
        value, code = parse_json(text), None
    except StepError as error:
        value, code = None, error.code
    assert code in (None, "JSON_INVALID")
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
