"""The head as JSON: short, lossless, and refused when it is of another version."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flowrunner.core.codec import VERSION, decode, encode
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import SETTLE, Entry, JoinState, MapState, NodeState, Phase, State
from flowrunner.core.status import RunStatus, StepStatus
from hypothesis import given
from hypothesis import strategies as st

from tests.core.profiles import share

A, S = NodeId("a"), StepId("1.0")

names = st.text(min_size=1, max_size=5)
nodes = names.map(NodeId)
steps = names.map(StepId)
counts = st.integers(0, 2**53)
entries = st.builds(
    Entry,
    node=nodes,
    parent=st.none() | steps,
    via=st.none() | st.just("default") | names,
    due=counts,
    phase=st.sampled_from(Phase),
    attempt=counts,
    spent=counts,
    n=counts,
    child=st.none() | names,
)
statuses = st.sampled_from(StepStatus)
ends = st.builds(
    NodeState,
    step=steps,
    status=statuses,
    action=st.none() | st.just("default") | names,
    attempt=counts,
    n=counts,
    handled=st.booleans(),
)
joins = st.builds(
    JoinState, arrived=st.dictionaries(nodes, st.tuples(statuses, st.booleans()), max_size=3), fired=st.booleans()
)
tries = st.dictionaries(st.integers(0, 99), st.integers(1, 9), max_size=3)
maps = st.builds(MapState, count=counts, cursor=counts, done=st.integers(0, 2**200), bad=tries, again=tries)
states = st.builds(
    State,
    status=st.sampled_from(RunStatus),
    rev=counts,
    started_at=counts,
    frontier=st.dictionaries(steps, entries, max_size=3),
    parked=st.dictionaries(steps, entries, max_size=3),
    nodes=st.dictionaries(nodes, ends, max_size=3),
    joins=st.dictionaries(nodes, joins, max_size=3),
    maps=st.dictionaries(steps, maps, max_size=2),
    vars=st.dictionaries(names, steps, max_size=3),
    secrets=st.lists(names, max_size=3).map(tuple),
    steps=counts,
    attempt=st.integers(1, 99),
    retries=counts,
    deadline=counts,
    progress=st.integers(0, 100),
    error=st.none() | st.dictionaries(names, st.none() | names | counts, min_size=1, max_size=3),
    slot=st.none() | names,
    parent=st.booleans(),
)


@share(30)
@given(states)
def test_a_head_survives_being_written_and_read(state: State) -> None:
    """`decode` gives back what `encode` was given, through real JSON, with the order of steps kept."""
    again = decode(orjson.loads(orjson.dumps(encode(state))))
    assert again == state
    assert list(again.frontier) == list(state.frontier)
    assert list(again.parked) == list(state.parked)


@pytest.mark.parametrize(
    ("state", "document"),
    [
        (State(), {"v": 1, "st": "running"}),
        (State(frontier={S: Entry(A)}), {"v": 1, "st": "running", "fr": {"1.0": ["a", None, 0, None]}}),
        (
            State(frontier={S: Entry(A, StepId("0.0"), "default", 7)}),
            {"v": 1, "st": "running", "fr": {"1.0": ["a", "0.0", 7]}},
        ),
        (
            State(nodes={A: NodeState(S, StepStatus.SUCCEEDED, "default", 1, 1)}),
            {"v": 1, "st": "running", "nd": {"a": ["1.0"]}},
        ),
        (
            State(joins={A: JoinState({NodeId("b"): (StepStatus.FAILED, False)})}),
            {"v": 1, "st": "running", "jn": {"a": [{"b": "f!"}, 0]}},
        ),
        (State(maps={S: MapState(20, 9, 0x1FF)}), {"v": 1, "st": "running", "mp": {"1.0": [20, 9, "1ff"]}}),
        (
            State(
                status=RunStatus.FAILED,
                rev=12,
                started_at=1_795_250_947_123,
                frontier={SETTLE: Entry(NodeId("settle"), due=8)},
                parked={S: Entry(A, StepId("0.0"), "x", 7, Phase.WAITING, 3, 2, 4, "child")},
                nodes={A: NodeState(S, StepStatus.FAILED, "error", 2, 3, handled=False)},
                joins={A: JoinState({NodeId("b"): (StepStatus.SKIPPED, True)}, fired=True)},
                maps={S: MapState(20, 9, 0x1FF, {3: 1}, {4: 2})},
                vars={"k": S},
                secrets=("TOKEN",),
                steps=5,
                attempt=2,
                retries=1,
                deadline=9,
                progress=50,
                error={"code": "E"},
                slot="key",
                parent=True,
            ),
            {
                "v": 1,
                "st": "failed",
                "rev": 12,
                "t0": 1_795_250_947_123,
                "fr": {"settle": ["settle", None, 8, None]},
                "pk": {"1.0": ["a", "0.0", 7, "x", "w", 3, 4, 2, "child"]},
                "nd": {"a": ["1.0", "f", "error", 2, 3, 0]},
                "jn": {"a": [{"b": "k"}, 1]},
                "mp": {"1.0": [20, 9, "1ff", {"3": 1}, {"4": 2}]},
                "vr": {"k": "1.0"},
                "sx": ["TOKEN"],
                "n": 5,
                "a": 2,
                "r": 1,
                "dl": 9,
                "pg": 50,
                "er": {"code": "E"},
                "sl": "key",
                "pa": 1,
            },
        ),
    ],
)
def test_the_format_is_what_older_programs_wrote(state: State, document: dict[str, Any]) -> None:
    """Heads of version 1 that are stored stay readable: changing this table means a new version."""
    assert encode(state) == document
    assert decode(document) == state


@pytest.mark.parametrize("version", [None, 0, VERSION + 1, "1"])
def test_another_version_is_refused(version: object) -> None:
    """A program that meets a newer head says so instead of guessing."""
    with pytest.raises(ValueError, match=f"^the head has format {version!r}; this program knows format 1$"):
        decode({**encode(State()), "v": version})
