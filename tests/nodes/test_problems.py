"""What the loader is told about a node's parameters before anything is evaluated."""

from __future__ import annotations

from typing import Literal

import pytest
from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid
from flowrunner.language.scripts import has_expression
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.fields import kind, presence, truthy
from flowrunner.nodes.problems import problems, text_of
from flowrunner.nodes.registry import Registry
from pydantic import Field, model_validator

REGISTRY = Registry(plugins=())


def _found(node_type: str, params: dict[str, Json]) -> dict[str, str]:
    found = REGISTRY.check_params(node_type, params, has_expression)
    places = [".".join(map(str, place)) for place, _ in found]
    assert len(places) == len(set(places)), "a place is named once"
    return dict(zip(places, (message for _, message in found), strict=True))


@pytest.mark.parametrize(
    ("node_type", "params", "found"),
    [
        ("transform", {}, {}),
        ("transform", {"sort_by": ["a", 5]}, {"sort_by.1": "should be a text, not a number"}),
        ("transform", {"sort_by": {}}, {"sort_by": "should be a text or a list, not an object"}),
        ("transform", {"sort_by": [""]}, {"sort_by.0": "should not be empty"}),
        ("transform", {"deep": "perhaps"}, {"deep": "should be true or false"}),
        ("transform", {"pick": "name"}, {"pick": "should be a list, not a text"}),
        ("transform", {"mappings": {}}, {"mappings": "there is no such parameter; did you mean 'mapping'?"}),
        (
            "transform",
            {"mapping": {"a": "$.["}, "deep": []},
            {"mapping.a": "JSONPath", "deep": "should be true or false, not a list"},
        ),
        ("condition", {}, {"if": "is required"}),
        ("condition", {"if_": True}, {"if": "is required", "if_": "there is no such parameter"}),
        ("filter", {"items": []}, {"where": "is required"}),
        ("switch", {"cases": 5}, {"cases": "should be an object or a list, not a number"}),
        ("switch", {"cases": {}}, {"cases": "should not be empty"}),
        ("switch", {"cases": []}, {"cases": "should not be empty"}),
        ("switch", {"cases": [{"when": 1}]}, {"cases.0.then": "is required"}),
        (
            "switch",
            {"cases": [{"when": 1, "than": "a"}]},
            {
                "cases.0.then": "is required",
                "cases.0.than": "there is no such parameter; did you mean 'then'?",
            },
        ),
        ("switch", {"cases": ["a"]}, {"cases.0": "should be an object, not a text"}),
        ("delay", {}, {"": "give exactly one of `for` and `until`"}),
        (
            "delay",
            {"for": "1 week"},
            {"for": "'1 week' is not a duration; write one like 500ms, 20s, 5m, 2h or 1d"},
        ),
        ("delay", {"until": "now"}, {"until": "a moment is written like 2030-01-31T09:00:00Z"}),
        (
            "log",
            {"level": "warn"},
            {"level": "should be 'debug', 'info', 'warning' or 'error'; did you mean 'warning'?"},
        ),
        ("log", {"level": 3}, {"level": "should be 'debug', 'info', 'warning' or 'error'"}),
        ("json_stringify", {"indent": 17}, {"indent": "should be at most 16"}),
        ("json_stringify", {"indent": -1}, {"indent": "should be at least 0"}),
        ("json_stringify", {"indent": 1.5}, {"indent": "should be a whole number"}),
        ("json_stringify", {"indent": "x"}, {"indent": "should be a whole number"}),
        ("store", {"op": "get"}, {"": "get needs a `key`"}),
        ("store", {"op": "increment", "key": "k", "by": "x"}, {"by": "should be"}),
        ("store", {"op": "get", "key": "k" * 513}, {"key": "should have at most 512 characters"}),
        (
            "store",
            {"op": "get", "key": "k", "namespace": "a b"},
            {"namespace": "should match ^[A-Za-z0-9_.:/-]{1,128}$"},
        ),
        ("store", {"op": "get", "key": "\ud800"}, {"key": "should be Unicode text without lone surrogates"}),
        ("store", {"op": "set", "key": "k", "ttl": 0}, {"ttl": "should be more than 0"}),
        (
            "approval",
            {"message": "?", "approvers": ["a"] * 101},
            {"approvers": "should have at most 100 entries"},
        ),
        (
            "wait.callback",
            {"request": {"url": "x", "metod": "PUT"}},
            {"request.metod": "there is no such parameter; did you mean 'method'?"},
        ),
        (
            "wait.callback",
            {"request": {"url": "x", "headers": {"A": 1}}},
            {"request.headers.A": "should be a text, not a number"},
        ),
        ("flow.run", {"flow": "a", "revision": 0}, {"revision": "should be at least 1"}),
        ("script", {"whatever": {"a": 1}}, {}),
        ("script", {"source": 5}, {"source": "should be a text, not a number"}),
    ],
)
def test_problems_are_named_at_their_place(node_type: str, params: dict[str, Json], found: dict[str, str]) -> None:
    """Each problem stands at its own place in the params, in words that name kinds of JSON."""
    actual = _found(node_type, params)
    assert actual.keys() == found.keys()
    for place, message in found.items():
        assert actual[place].startswith(message)


@pytest.mark.parametrize(
    ("node_type", "params"),
    [
        ("delay", {"for": "${input.wait}"}),
        ("log", {"level": "${input.level}"}),
        ("switch", {"cases": "${input.cases}"}),
        ("switch", {"cases": ["${input.case}"]}),
        ("switch", {"cases": [{"when": "${a}", "then": "${b}"}]}),
        ("transform", {"pick": "${input.fields}", "sort_by": "${input.by}"}),
        ("transform", {"sort_by": ["${a}", "b"]}),
        ("transform", {"filter": "${item.a}"}),
        ("transform", {"mapping": "${input}"}),
        ("store", {"op": "${input.op}"}),
        ("store", {"op": "get", "key": "${input.key}"}),
        ("store", {"op": "list", "limit": "${input.n}", "where": None}),
        ("flow.run", {"inline": {"nodes": {"a": {"params": {"x": "${input.x}"}}}}}),
        ("wait.callback", {"request": "${input.request}"}),
        ("wait.callback", {"request": {"url": "${input.url}", "method": "${input.method}"}}),
        ("approval", {"message": "${''}", "timeout": "${input.t}"}),
    ],
)
def test_an_expression_may_be_anything(node_type: str, params: dict[str, Json]) -> None:
    """What an expression gives is not known yet, so nothing is said about it."""
    if params.get("where", 0) is None:
        del params["where"]
    assert _found(node_type, params) == {}


@pytest.mark.parametrize(
    ("node_type", "params", "places"),
    [
        ("transform", {"sort_by": ["${a}", 5]}, {"sort_by.1"}),
        ("transform", {"pick": {"a": "${x}"}}, {"pick"}),
        ("transform", {"value": "${input}", "deep": 7}, {"deep"}),
        (
            "switch",
            {"value": "${x}", "cases": [{"when": "${y}", "than": "a"}]},
            {"cases.0.then", "cases.0.than"},
        ),
        ("store", {"op": "get", "default": "${x}"}, {""}),
        ("store", {"op": "set", "value": "${x}", "prefix": "a", "key": "${k}"}, {""}),
        ("delay", {"for": "${x}", "until": "soon"}, {"until"}),
        ("flow.run", {"flow": "${x}", "inline": {}}, {""}),
        ("log", {"mesage": "${x}"}, {"mesage"}),
        ("wait.callback", {"request": {"url": "${x}", "body": []}}, {"request.body"}),
        ("wait.callback", {"request": ["${x}"]}, {"request"}),
        ("approval", {"message": "$${x}", "approvers": "$${y}"}, {"approvers"}),
        ("transform", {"mapping": {"a": "$.a[${i}]", "b": "${i}"}}, {"mapping.a"}),
    ],
)
def test_what_no_expression_can_put_right_is_named(node_type: str, params: dict[str, Json], places: set[str]) -> None:
    """An expression somewhere hides no mistake elsewhere."""
    assert set(_found(node_type, params)) == places


class _PickyParams(Params):
    low: int = 0
    high: int = 0
    mode: Literal["only"] = "only"
    parts: dict[str, list[int]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ordered(self) -> _PickyParams:
        if self.low > self.high:
            raise ValueError("Low is not above high")
        if self.low == self.high == 7:
            raise presence("Not seven")
        return self


class _Picky(NodeType[_PickyParams]):
    """Minds the relation of its params."""

    name = "picky"
    params = _PickyParams

    def execute(self, ctx: Context[_PickyParams]) -> Result:
        return Result()


def _picky(params: dict[str, Json], expressions: bool) -> list[tuple[tuple[str | int, ...], str]]:
    try:
        _PickyParams.model_validate(params)
    except ValueError as error:
        return problems(error, _PickyParams, params, has_expression if expressions else None)  # type: ignore[arg-type]  # pydantic raises its ValidationError, a ValueError
    return []


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"low": 2, "high": 1}, [((), "low is not above high")]),
        ({"low": 7, "high": 7}, [((), "not seven")]),
        ({"mode": "ony"}, [(("mode",), "should be 'only'; did you mean 'only'?")]),
        ({"parts": {"a": [1, "x"]}}, [(("parts", "a", 1), "should be a whole number")]),
        ({"parts": {"a": 5}}, [(("parts", "a"), "should be a list, not a number")]),
    ],
)
def test_rules_between_params_are_named_at_the_top(params: dict[str, Json], found: Json) -> None:
    """A rule of the whole model has no place of its own; dictionaries and lists are walked into."""
    assert _picky(params, expressions=True) == found


def test_messages_hold_no_value_of_a_secret() -> None:
    """After evaluation a param may be a secret; a message says of what kind it is and no more."""
    secret = "s3cr3t-value"
    for node_type, params in (
        ("log", {"level": secret}),
        ("transform", {"pick": secret}),
        ("switch", {"cases": secret}),
    ):
        with pytest.raises(ParamsInvalid) as caught:
            REGISTRY.validate(node_type, params)
        assert secret not in str(caught.value)


def test_problems_make_one_line() -> None:
    """The message of a failed step names each place, and a rule of the whole model without one."""
    assert text_of([(("a", 0), "is required"), ((), "give one")]) == "a.0: is required; give one"


@pytest.mark.parametrize(
    ("value", "name", "true"),
    [
        (None, "null", False),
        (True, "a boolean", True),
        (0, "a number", False),
        (1.5, "a number", True),
        ("", "a text", False),
        ([], "a list", True),
        ({}, "an object", True),
        (b"x", "bytes", True),
    ],
)
def test_kinds_and_truth_are_those_of_json(value: object, name: str, true: bool) -> None:
    """Messages name kinds as an author knows them, and truth is JavaScript's."""
    assert kind(value) == name
    assert truthy(value) is true
