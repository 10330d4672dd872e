"""The transform node."""

from __future__ import annotations

import pytest
from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid, StepError
from flowrunner.language.scripts import has_expression
from flowrunner.nodes.base import Result
from flowrunner.nodes.registry import Registry
from flowrunner.nodes.transform import TransformNode

from tests.nodes.context import context
from tests.nodes.evaluating import javascript

NODE = TransformNode()
PEOPLE: Json = [{"n": "Bo", "age": 9, "x": 1}, {"n": "Al", "age": 30, "x": 2}, {"n": "Cy", "age": 9, "x": 3}]


def _run(params: dict[str, Json], input: Json = None) -> Json:
    done = NODE.execute(context(NODE, params, input=input, each=javascript))
    assert isinstance(done, Result)
    assert done.action == "default"
    return done.output


@pytest.mark.parametrize(
    ("params", "input", "output"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"value": 5}, {"a": 1}, 5),
        ({"value": None}, {"a": 1}, None),
        ({"mapping": {"x": "$.a", "y": "text", "z": 3}}, {"a": 1}, {"x": 1, "y": "text", "z": 3}),
        ({"mapping": {"in": {"er": ["$.a", {"b": "$"}]}}}, {"a": 1}, {"in": {"er": [1, {"b": {"a": 1}}]}}),
        ({"mapping": "$.a"}, {"a": [1]}, [1]),
        ({"mapping": "plain"}, {}, "plain"),
        ({"mapping": None}, {"a": 1}, None),
        ({"mapping": 7}, {"a": 1}, 7),
        (
            {"mapping": {"all": "$.a[*]", "one": "$.a[0]", "no": "$.b"}},
            {"a": [1, 2]},
            {"all": [1, 2], "one": 1, "no": None},
        ),
        ({"filter": "${item.age < 10}"}, PEOPLE, [PEOPLE[0], PEOPLE[2]]),
        ({"filter": "${index == 1}"}, PEOPLE, [PEOPLE[1]]),
        ({"filter": "${[]}"}, [1], [1]),
        ({"filter": "${''}"}, [1], []),
        ({"filter": False}, [1], []),
        ({"sort_by": "n", "pick": ["n"]}, PEOPLE, [{"n": "Al"}, {"n": "Bo"}, {"n": "Cy"}]),
        ({"sort_by": ["age", "-n"], "pick": ["n"]}, PEOPLE, [{"n": "Cy"}, {"n": "Bo"}, {"n": "Al"}]),
        ({"group_by": "age", "pick": ["n", "age"]}, PEOPLE[:1], {"9": [{"n": "Bo", "age": 9}]}),
        ({"omit": ["age", "missing"]}, PEOPLE[0], {"n": "Bo", "x": 1}),
        ({"pick": ["n", "missing"]}, PEOPLE[0], {"n": "Bo"}),
        ({"pick": ["n"]}, [], []),
        ({"merge": [{"b": 2}, {"a": 3}]}, {"a": 1}, {"a": 3, "b": 2}),
        ({"merge": [{"a": {"y": 2}}], "deep": True}, {"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}),
        ({"merge": [{"b": 2}]}, None, {"b": 2}),
        (
            {
                "filter": "${item.age < 10}",
                "sort_by": "-x",
                "omit": ["age"],
                "group_by": "n",
                "merge": [{"Bo": 0}],
                "mapping": "$.Cy[0].x",
            },
            PEOPLE,
            3,
        ),
    ],
)
def test_the_steps_reshape_the_value(params: dict[str, Json], input: Json, output: Json) -> None:
    """Each step does its work, and they follow each other in the documented order."""
    assert _run(params, input) == output


@pytest.mark.parametrize(
    ("params", "input", "message"),
    [
        ({"filter": "${true}"}, {"a": 1}, "filter works on a list; the value is an object"),
        ({"sort_by": "a"}, "text", "sort_by works on a list; the value is a text"),
        ({"group_by": "a"}, None, "group_by works on a list; the value is null"),
        ({"pick": ["a"]}, [{"a": 1}, 5], "pick works on an object or a list of objects; this is a number"),
        ({"omit": ["a"]}, True, "omit works on an object or a list of objects; this is a boolean"),
        ({"merge": [{"a": 1}, [2]]}, {}, "merge.1: merge takes a list of objects, and this is a list"),
        ({"merge": [{"a": 1}]}, [1], "merge works on an object; the value is a list"),
    ],
)
def test_a_step_that_does_not_fit_says_why(params: dict[str, Json], input: Json, message: str) -> None:
    """A value of the wrong kind is an error that names step and kind."""
    with pytest.raises(ParamsInvalid) as caught:
        _run(params, input)
    assert message in caught.value.message


def test_a_bad_path_fails_with_its_code() -> None:
    """A path that is wrong when it runs fails the step with JSONPATH_ERROR."""
    with pytest.raises(StepError) as caught:
        _run({"mapping": {"a": "$.a["}}, {})
    assert caught.value.code == "JSONPATH_ERROR"


@pytest.mark.parametrize(
    ("mapping", "input", "seen"),
    [
        ({"result": "$.data.items"}, {"data": {"items": [1, 2]}}, [1, 2]),
        ({"result": "$.a", "more": 1}, {"a": 5}, {"result": 5, "more": 1}),
        ("$.a", {"a": 5}, 5),
    ],
)
def test_an_exec_hook_sees_what_the_mapping_selects(mapping: Json, input: Json, seen: Json) -> None:
    """A mapping with just `result` gives the hook that field's value, any other the mapped value."""
    params = context(NODE, {"mapping": mapping}).params
    assert NODE.exec_input(params, input) == seen


def test_an_exec_hook_without_mapping_sees_the_input() -> None:
    """Without any step the hook sees the node's input."""
    assert NODE.exec_input(context(NODE, {}).params, {"a": 1}) == {"a": 1}


def test_filter_and_an_exec_hook_exclude_each_other() -> None:
    """The filter's expression is evaluated by the node's own work, which the hook replaces."""
    params = context(NODE, {"filter": "${true}"}).params
    with pytest.raises(ParamsInvalid, match="filter in the hook"):
        NODE.exec_input(params, [1])


def test_bad_paths_are_found_when_the_flow_is_saved() -> None:
    """The registry reports a JSONPath that does not compile, with its place."""
    found = Registry(plugins=()).check_params("transform", {"mapping": {"a": {"b": "$.x["}}}, has_expression)
    assert [place for place, _ in found] == [("mapping", "a", "b")]


def test_a_deep_value_is_no_trouble_for_a_mapping() -> None:
    """Data that an expression gave is passed on as it is, however it looks."""
    data = {"price": "$.50", "list": ["$[bad"]}
    params = TransformNode.params.model_validate({"mapping": {"data": data}})
    assert NODE.exec_input(params, None) == {"data": data}
