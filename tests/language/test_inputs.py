"""`inputs`: which schemas are taken, and what a run's input is told."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from flowrunner.core.flow import Flow, Json
from flowrunner.core.ids import NodeId
from flowrunner.language.inputs import MAX_PROBLEMS, check_input, check_schema

from tests.language.environment import problems

DOUBLING = {
    "$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)} | {"d40": {}},
    "$ref": "#/$defs/d0",
}
DEEP_DOUBLING = {"properties": {"a": {"allOf": [{"$ref": "#"}] * 2}}}

BAD_SCHEMAS: list[tuple[Json, tuple[str | int, ...], str]] = [
    (
        {"type": "objekt"},
        ("type",),
        "'objekt' is no type of JSON Schema; there are array, boolean, integer, null, number, object, string",
    ),
    (
        {"properties": {"a": {"type": ["string", "x"]}}},
        ("properties", "a", "type", 1),
        "is not valid JSON Schema: 'x' is not one of",
    ),
    ({"required": "a"}, ("required",), "is not valid JSON Schema: 'a' is not of type 'array'"),
    ({"minLength": -1}, ("minLength",), "is not valid JSON Schema: -1 is less than the minimum of 0"),
    ({"$ref": "https://example.com/s"}, ("$ref",), "a $ref may only lead to a place in this schema (#/…)"),
    ({"items": {"$ref": "other.json"}}, ("items", "$ref"), "a $ref may only lead"),
    (
        {"allOf": [{"$dynamicRef": "http://169.254.169.254/"}]},
        ("allOf", 0, "$dynamicRef"),
        "a $ref may only lead",
    ),
    ({"$ref": "#/$defs/a"}, ("$ref",), "'#/$defs/a' leads nowhere in this schema"),
    ({"$ref": "#a"}, ("$ref",), "'#a' leads nowhere"),
    ({"$ref": "#/prefixItems/1", "prefixItems": [{}]}, ("$ref",), "'#/prefixItems/1' leads nowhere"),
    ({"$ref": "#/title", "title": "t"}, ("$ref",), "'#/title' leads nowhere"),
    ({"$ref": "#"}, (), "refers to itself without end"),
    (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "anyOf": [{"$ref": "#/$defs/a"}]},
        (),
        "refers to itself without end",
    ),
    ({"items": {"$id": "http://x/"}}, ("items", "$id"), "a schema inside the schema has no $id here"),
    ({"pattern": "("}, ("pattern",), "'(' is no regular expression"),
    ({"patternProperties": {"[": {}}}, ("patternProperties", "["), "'[' is no regular expression"),
    (
        {"patternProperties": {"a": {}}, "unevaluatedProperties": False},
        ("unevaluatedProperties",),
        "cannot stand beside patternProperties",
    ),
    (DOUBLING, (), "is too costly to check: its references multiply"),
]


@pytest.mark.parametrize(("schema", "path", "message"), BAD_SCHEMAS)
def test_bad_schemas(schema: Json, path: tuple[str | int, ...], message: str) -> None:
    """A schema that cannot be used is refused at its place."""
    found_path, found = check_schema(schema)[0]
    assert found_path == path
    assert found.startswith(message)


GOOD_SCHEMAS: list[Json] = [
    True,
    {},
    {"type": "object", "properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}}},
    {"$defs": {"a/b": {"type": "string"}}, "items": {"$ref": "#/$defs/a~1b"}},
    {"$defs": {"a": {"$anchor": "here"}}, "items": {"$ref": "#here"}},
    {"prefixItems": [{"type": "string"}], "items": {"$ref": "#/prefixItems/0"}},
    {"properties": {"child": {"$ref": "#"}}},
    {"$id": "https://example.com/mine", "items": {"$ref": "#"}},
    {"const": {"$ref": "https://example.com"}, "default": {"pattern": "("}, "examples": [{"$ref": "x"}]},
]


@pytest.mark.parametrize("schema", GOOD_SCHEMAS)
def test_good_schemas(schema: Json) -> None:
    """A schema is looked at where it is one, and data in it is let be."""
    assert check_schema(schema) == []


def test_a_bad_schema_is_shown_at_its_place_in_the_document() -> None:
    """The loader says where in the document the schema is wrong."""
    text = "metadata: {name: x}\ninputs:\n  properties:\n    a: {type: strin}\nnodes: {a: {type: log}}"
    types = "array, boolean, integer, null, number, object, string"
    message = (
        f"error: inputs.properties.a.type: 'strin' is no type of JSON Schema; there are {types} (line 4, column 15)"
    )
    assert problems(text) == [message]


def flow(schema: Json) -> Flow:
    return Flow("x", {}, (NodeId("a"),), inputs=schema)


OBJECT: dict[str, Any] = {
    "type": "object",
    "required": ["id", "at"],
    "properties": {"id": {"type": "string"}},
}
INPUTS: list[tuple[Json, Json, list[tuple[str, str]]]] = [
    (None, {"anything": 1}, []),
    (OBJECT, {"id": "a", "at": 1}, []),
    (OBJECT, {}, [("input.id", "is required"), ("input.at", "is required")]),
    (OBJECT, {"id": 1, "at": 1}, [("input.id", "1 is not of type 'string'")]),
    (OBJECT, None, [("input", "None is not of type 'object'")]),
    (
        {"additionalProperties": False, "properties": {"a": {}}, "patternProperties": {"^b": {}}},
        {"a": 1, "b1": 2, "c": 3},
        [("input.c", "is not a field that the flow knows")],
    ),
    (
        {"additionalProperties": {"type": "string"}},
        {"a": 1},
        [("input.a", "1 is not of type 'string'")],
    ),
    ({"additionalProperties": False}, [1], []),
    (
        {"patternProperties": {"^n": {"type": "number"}}},
        {"n": "x", "m": "y"},
        [("input.n", "'x' is not of type 'number'")],
    ),
    ({"patternProperties": {"^n": False}}, 1, []),
    ({"items": {"type": "number"}}, [1, "a"], [("input[1]", "'a' is not of type 'number'")]),
    ({"pattern": "^a+$"}, "aab", [("input", "'aab' does not match '^a+$'")]),
    ({"pattern": "^a+$"}, 5, []),
    ({"uniqueItems": True}, [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], [("input", "has an item twice")]),
    ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}, 0.5], []),
    ({"uniqueItems": False}, [1, 1], []),
    (False, 1, [("input", "False schema does not allow 1")]),
]


@pytest.mark.parametrize(("schema", "value", "expected"), INPUTS)
def test_inputs(schema: Json, value: Json, expected: list[tuple[str, str]]) -> None:
    """All problems of an input are told, each with its field."""
    assert [(one.field, one.message) for one in check_input(flow(schema), value)] == expected


def _nested(depth: int) -> Json:
    value: Json = {}
    for _ in range(depth):
        value = {"a": value}
    return value


HOSTILE: list[tuple[str, Json, Json, str]] = [
    ("a pattern that backtracks", {"pattern": "^(a|aa)+$"}, "a" * 80 + "!", "takes too long"),
    (
        "a name that backtracks",
        {"patternProperties": {"^(a|aa)+$": {}}},
        {"a" * 80 + "!": 1},
        "takes too long",
    ),
    (
        "a pattern that backtracks a little, very often",
        {"items": {"pattern": "^(a|aa)+$"}},
        ["a" * 24 + "!"] * 20_000,
        "take too long on all its texts together",
    ),
    ("rules that multiply", DEEP_DOUBLING, _nested(60), "asks too much"),
    ("a deep value", {"properties": {"a": {"$ref": "#"}}}, _nested(900), "nested too deeply"),
    ("a reference that was stored before it was refused", {"$ref": "#/nowhere"}, 1, "a $ref leads nowhere"),
    (
        "a list of many different objects",
        {"uniqueItems": True},
        [{"a": i} for i in range(50_000)] * 2,
        "has an item twice",
    ),
]


@pytest.mark.parametrize(("schema", "value", "message"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_inputs(schema: Json, value: Json, message: str) -> None:
    """An input that is made to cost time or stack is refused, in time."""
    began = time.thread_time()
    found = check_input(flow(schema), value)
    assert time.thread_time() - began < 5  # most of it is for the many objects and is theirs by size
    assert [message in one.message for one in found] == [True]


def test_problems_are_limited() -> None:
    """A list of wrong items is not answered with thousands of messages."""
    assert len(check_input(flow({"items": {"type": "string"}}), [1] * 10_000)) == MAX_PROBLEMS


def test_a_large_input_is_checked() -> None:
    """The limit on rules leaves room for large inputs."""
    schema = {"items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}}
    assert check_input(flow(schema), [{"id": i} for i in range(20_000)]) == []


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to the network that slipped through is not followed."""

    def refuse(*args: Any, **more: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    schema = json.loads('{"$id": "http://example.com/a", "$ref": "b"}')
    assert "leads nowhere" in check_input(flow(schema), 1)[0].message
