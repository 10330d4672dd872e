"""Small values: durations, labels, progress, problems and statuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
from flowrunner.core.durations import MAX_DURATION, format_duration, parse_duration
from flowrunner.core.flow import OnError
from flowrunner.core.graph import build_graph
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.problems import Problem
from flowrunner.core.progress import progress_of
from flowrunner.core.state import Entry, MapState, NodeState, item_index, item_step, parent_of_item, step_label
from flowrunner.core.status import TERMINAL, TRANSITIONS, RunStatus, StepStatus

from tests.builders import describe, flow, retry


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("500ms", 500),
        ("20s", 20_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("1.5s", 1_500),
        (" 3 s ", 3_000),
        ("7", 7_000),
        (7, 7_000),
        (0.25, 250),
        (0, 0),
        ("400d", MAX_DURATION),
        ("34560000000ms", MAX_DURATION),
    ],
)
def test_durations_as_people_write_them(text: Any, millis: int) -> None:
    """With a unit, or in seconds."""
    assert parse_duration(text) == millis


@pytest.mark.parametrize(
    "value",
    ["", "s", "5x", "-1s", "1e3s", "1 2s", "5m30s", "\u0661s", "401d", None, True, [], math.nan, math.inf, -1, 10**400],
)
def test_what_is_no_duration(value: Any) -> None:
    """The message shows how one is written, or what the bounds are."""
    with pytest.raises(ValueError, match=r"a duration(;| is).* (500ms|400 days)"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "a duration is written like 500ms, 20s, 5m, 2h or 1d, or as seconds"),
        ("5x" * 30, f"'{'5x' * 20}' is not a duration; write one like 500ms, 20s, 5m, 2h or 1d"),
        (-1, "a duration is 0 or more, and at most 400 days"),
        ("401d", "a duration is at most 400 days"),
    ],
)
def test_what_an_author_is_told_of_a_duration(value: Any, words: str) -> None:
    """A value of a stranger's is cut."""
    with pytest.raises(ValueError, match=f"^{words}$"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("millis", "text"),
    [
        (0, "0ms"),
        (850, "850ms"),
        (1_000, "1s"),
        (1_250, "1.2s"),
        (59_900, "59.9s"),
        (60_000, "1m"),
        (185_000, "3m 5s"),
        (7_800_000, "2h 10m"),
        (356_400_000, "4d 3h"),
        (86_400_000, "1d"),
        (86_405_000, "1d 5s"),
        (93_784_000, "1d 2h"),
    ],
)
def test_durations_for_people(millis: int, text: str) -> None:
    """The two largest parts are enough."""
    assert format_duration(millis) == text


@pytest.mark.parametrize(
    ("node", "n", "index", "label"),
    [("score", 1, -1, "score"), ("poll", 3, -1, "poll.3"), ("each", 1, 17, "each[17]"), ("each", 2, 0, "each.2[0]")],
)
def test_labels(node: str, n: int, index: int, label: str) -> None:
    """The names of steps that people see."""
    assert step_label(NodeId(node), n, index) == label


def test_item_steps() -> None:
    """An item's id holds its foreach and its index; other ids hold neither."""
    item = item_step(StepId("7.0"), 3)
    assert (item, parent_of_item(item), item_index(item)) == ("7.0[3]", "7.0", 3)
    assert (parent_of_item(StepId("7.0")), item_index(StepId("7.0"))) == (None, -1)


def ended(*names: str) -> dict[NodeId, NodeState]:
    return {NodeId(name): NodeState(StepId("1.0"), StepStatus.SUCCEEDED, "default", 1, 1) for name in names}


@pytest.mark.parametrize(
    ("done", "at", "items", "before", "percent"),
    [
        ([], "a", None, 0, 0),
        (["a"], "b", None, 0, 25),
        (["a", "b"], "c", None, 0, 50),
        (["a", "b"], "c", None, 80, 80),
        (["a", "b", "c"], "c", None, 0, 75),
        (["a", "b"], "c", MapState(4, 4, 0b11, {2: 1}), 0, 68),
        (["a", "b", "c", "d"], "d", None, 0, 99),
        (["a"], "zzz", None, 0, 99),
        ([], "zzz", None, 7, 7),
        (["a"], "b", None, 100, 100),
    ],
)
def test_progress(done: list[str], at: str, items: MapState | None, before: int, percent: int) -> None:
    """R10: the share of the nodes that have ended among those that have or still may; it never goes back."""
    graph = build_graph(flow("a -> b; b -> c; c -> d"))
    frontier = {StepId("9.0"): Entry(NodeId(at))}
    maps = {StepId("9.0"): items} if items else {}
    assert progress_of(graph, before, RunStatus.RUNNING, frontier, ended(*done), maps) == percent


def test_progress_of_runs_that_are_over() -> None:
    """R10: a completed run is at 100, a failed one stays where it was."""
    graph = build_graph(flow("a"))
    assert progress_of(graph, 3, RunStatus.COMPLETED, {}, {}, {}) == 100
    assert progress_of(graph, 3, RunStatus.FAILED, {}, ended("a"), {}) == 3


def test_terminal_statuses_are_those_that_only_a_redrive_leaves() -> None:
    """The table and the property `over` say the same."""
    over = {status for status in RunStatus if status.over}
    assert {status.value for status in over} == TERMINAL
    assert {status for status, following in TRANSITIONS.items() if following == {RunStatus.RUNNING}} == over
    assert set(TRANSITIONS) == set(RunStatus)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("", "the document is empty"), "error: the document is empty"),
        (
            Problem("nodes.a.next", "no node is called 'alrt'", 38, 22, suggestion="alert"),
            "error: nodes.a.next: no node is called 'alrt'; did you mean 'alert'? (line 38, column 22)",
        ),
        (Problem("nodes.a", "is odd", severity="warning"), "warning: nodes.a: is odd"),
    ],
)
def test_problems_in_words(problem: Problem, text: str) -> None:
    """Place, message, suggestion and position in one line."""
    assert str(problem) == text


def test_builders_read_and_describe_flows() -> None:
    """The clauses that tests are written in mean what they say, and failing games are printed in them."""
    subject = flow(
        "a -> b, c; a -x-> b; j needs b, c any",
        nodes={"b": {"at_most_once": True}},
        on_error=OnError.RETRY_RUN,
        retry_run=retry(2),
    )
    assert subject.start == ("a",)
    text = describe(subject)
    for part in ("a -default-> b, c", "a -x-> b", "j needs b, c any", "b at_most_once=True", "max_attempts=2"):
        assert part in text
    with pytest.raises(ValueError, match="cannot read"):
        flow("a => b")
