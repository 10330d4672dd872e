"""filter, condition and switch: which way a flow goes on, and with what."""

from __future__ import annotations

import pytest
from flowrunner.core.flow import Json
from flowrunner.nodes.base import Result
from flowrunner.nodes.condition import ConditionNode
from flowrunner.nodes.filter import FilterNode
from flowrunner.nodes.switch import SwitchNode

from tests.nodes.context import context
from tests.nodes.evaluating import javascript


@pytest.mark.parametrize(
    ("params", "input", "output", "action"),
    [
        ({"where": "${item > 5}", "items": [3, 8, 12]}, None, [8, 12], "default"),
        ({"where": "${item > 5}"}, [3, 8], [8], "default"),
        ({"where": "${item > 50}"}, [3, 8], [], "default"),
        ({"where": "${index}"}, ["a", "b"], ["b"], "default"),
        ({"where": "${item}"}, [0, "", None, False, [], {}, "false"], [[], {}, "false"], "default"),
        ({"where": "${item.ok}"}, {"ok": 1, "n": 2}, {"ok": 1, "n": 2}, "default"),
        ({"where": "${item.ok}"}, {"ok": 0}, None, "rejected"),
        ({"where": "${item === null}", "items": None}, [1], None, "default"),
        ({"where": "${item}", "items": "text"}, None, "text", "default"),
        ({"where": True}, [1], [1], "default"),
        ({"where": None}, [1], [], "default"),
        ({"where": "${true}"}, [], [], "default"),
    ],
)
def test_filter_keeps_what_holds(params: dict[str, Json], input: Json, output: Json, action: str) -> None:
    """A list gives its kept items; one value goes on or is rejected."""
    node = FilterNode()
    assert node.execute(context(node, params, input=input, each=javascript)) == Result(output, action)


@pytest.mark.parametrize(
    ("value", "action"),
    [
        (True, "true"),
        (1, "true"),
        (-0.5, "true"),
        ("0", "true"),
        ("false", "true"),
        ([], "true"),
        ({}, "true"),
        (False, "false"),
        (0, "false"),
        (0.0, "false"),
        ("", "false"),
        (None, "false"),
    ],
)
def test_condition_judges_as_javascript(value: Json, action: str) -> None:
    """The action follows JavaScript's truth, and the input goes through."""
    node = ConditionNode()
    assert node.execute(context(node, {"if": value}, input={"kept": 1})) == Result({"kept": 1}, action)


@pytest.mark.parametrize(
    ("params", "input", "action"),
    [
        ({"value": "DE", "cases": {"home": "DE", "north": "SE"}}, None, "home"),
        ({"value": "SE", "cases": {"home": "DE", "north": "SE"}}, None, "north"),
        ({"value": "FR", "cases": {"home": "DE"}}, None, "default"),
        ({"cases": {"home": "DE"}}, "DE", "home"),
        ({"value": None, "cases": {"nothing": None}}, "DE", "nothing"),
        ({"value": 1, "cases": {"text": "1", "bool": True, "number": 1.0}}, None, "number"),
        ({"value": {"a": [1]}, "cases": {"object": {"a": [1]}}}, None, "object"),
        ({"value": 1, "cases": {"first": 1, "second": 1}}, None, "first"),
        (
            {"cases": [{"when": "", "then": "a"}, {"when": [], "then": "b"}, {"when": 1, "then": "c"}]},
            None,
            "b",
        ),
        ({"cases": [{"when": 0, "then": "a"}]}, None, "default"),
    ],
)
def test_switch_takes_the_first_case_that_fits(params: dict[str, Json], input: Json, action: str) -> None:
    """Cases are compared as JSON or judged by their `when`; the input goes through."""
    node = SwitchNode()
    assert node.execute(context(node, params, input=input)) == Result(input, action)


@pytest.mark.parametrize(
    ("params", "actions"),
    [
        ({"cases": {"a": 1, "b": "${x}"}}, ("a", "b", "default")),
        ({"cases": [{"when": "${x}", "then": "a"}, {"when": "${y}", "then": "a"}]}, ("a", "default")),
        ({"cases": [{"when": 1, "then": "${input.way}"}]}, None),
        ({"cases": [{"when": 1}]}, None),
        ({"cases": ["no object"]}, None),
        ({"cases": "${input.cases}"}, None),
        ({}, None),
    ],
)
def test_switch_knows_its_actions_before_it_runs(params: dict[str, Json], actions: tuple[str, ...] | None) -> None:
    """The loader can check `next` against the cases' names, unless an expression makes them."""
    assert SwitchNode.actions_for(params) == actions
