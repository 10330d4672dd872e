"""log, script and flow.run."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid, StepError
from flowrunner.nodes.base import Result, Wait
from flowrunner.nodes.flow_run import FlowRunNode
from flowrunner.nodes.log import LogNode
from flowrunner.nodes.script import ScriptNode
from pydantic import ValidationError

from tests.nodes.context import FakeChildren, context

LOG, SCRIPT, RUN = LogNode(), ScriptNode(), FlowRunNode()
INLINE: Json = {
    "metadata": {"name": "x"},
    "nodes": {"a": {"type": "log", "params": {"message": "${input.x}"}}},
}


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"message": "hello"}, ("info", "hello", None)),
        ({}, ("info", "", None)),
        ({"message": {"a": ["é"]}, "level": "warning"}, ("warning", '{"a": ["é"]}', None)),
        ({"message": None}, ("info", "null", None)),
        ({"message": "x", "data": {"n": 1}, "level": "debug"}, ("debug", "x", {"n": 1})),
        ({"message": "a" * 16_384}, ("info", "a" * 16_384, None)),
        ({"message": "a" * 16_385}, ("info", "a" * 16_384 + "… (16,385 characters)", None)),
    ],
)
def test_log_writes_a_line(params: dict[str, Json], line: tuple[str, str, Json]) -> None:
    """The line is in the log and in the output, beside the input that goes on along the edge."""
    ctx = context(LOG, params, input=[1])
    done = LOG.execute(ctx)
    assert ctx.logs == [line]
    assert done == Result({"message": line[1], "level": line[0], "data": line[2], "input": [1]})
    assert LogNode.payload == "input"


@pytest.mark.parametrize("level", ["fatal", "INFO", 3, None])
def test_log_knows_four_levels(level: Json) -> None:
    """Another level is refused when the flow is saved."""
    with pytest.raises(ValidationError, match="'debug', 'info', 'warning' or 'error'"):
        context(LOG, {"level": level})


def test_script_runs_its_source() -> None:
    """What the code returns is the output; the sandbox gets the source as it is."""
    seen: list[tuple[str, Mapping[str, Json]]] = []

    def run(source: str, bindings: Mapping[str, Json]) -> Json:
        seen.append((source, bindings))
        return {"n": 1}

    params = {"source": "return {n: 1}", "anything": {"else": True}}
    assert SCRIPT.execute(context(SCRIPT, params, run_script=run)) == Result({"n": 1})
    assert seen == [("return {n: 1}", {})]


@pytest.mark.parametrize("params", [{}, {"source": ""}, {"source": " \n"}, {"source": None}, {"prices": [1]}])
def test_script_without_code_says_what_is_missing(params: dict[str, Json]) -> None:
    """A node with neither hook nor source names both ways."""
    with pytest.raises(ParamsInvalid, match="an exec hook or the parameter `source`"):
        SCRIPT.execute(context(SCRIPT, params))


@pytest.mark.parametrize(
    ("params", "input", "started"),
    [
        (
            {"flow": "child"},
            {"a": 1},
            {"flow": "child", "revision": None, "document": None, "input": {"a": 1}},
        ),
        (
            {"flow": "child", "revision": 2, "input": None},
            {"a": 1},
            {"flow": "child", "revision": 2, "document": None, "input": None},
        ),
        (
            {"inline": INLINE, "input": 5},
            None,
            {"flow": None, "revision": None, "document": INLINE, "input": 5},
        ),
    ],
)
@pytest.mark.parametrize("wait", [True, False])
def test_flow_run_starts_a_run(params: dict[str, Json], input: Json, started: dict[str, Json], wait: bool) -> None:
    """The child gets its input, and the step waits for it or goes on with the run's id."""
    children = FakeChildren()
    done = RUN.execute(context(RUN, {**params, "wait": wait}, input=input, children=children))
    assert children.started == [{**started, "signal_parent": wait}]
    expected = Wait(child="child-1", data={"run_id": "child-1"}) if wait else Result({"run_id": "child-1"})
    assert done == expected


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "exactly one of `flow` and `inline`"),
        ({"flow": "a", "inline": INLINE}, "exactly one of `flow` and `inline`"),
        ({"inline": INLINE, "revision": 1}, "`revision` goes with `flow`"),
        ({"flow": ""}, "at least 1 character"),
        ({"flow": "a", "revision": 0}, "greater than or equal to 1"),
        ({"inline": "text"}, "valid dictionary"),
        ({"flow": "a", "wait": "maybe"}, "valid boolean"),
    ],
)
def test_flow_run_refuses_bad_params(params: dict[str, Json], message: str) -> None:
    """Each wrong combination has its message."""
    with pytest.raises(ValidationError, match=message):
        context(RUN, params)


def test_a_flow_that_cannot_start_fails_the_step() -> None:
    """The engine's refusal is passed on with its code."""
    refusal = StepError("no flow is called 'x'", code="FLOW_NOT_FOUND")
    with pytest.raises(StepError) as caught:
        RUN.execute(context(RUN, {"flow": "x"}, children=FakeChildren(error=refusal)))
    assert caught.value is refusal
