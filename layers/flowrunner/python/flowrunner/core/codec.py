"""The head as plain JSON values, short enough to be written with every step.

Keys are one or two letters, empty parts are left out, entries are lists whose defaults at the end are cut. `v` is the
format's version: a program that reads a newer one refuses instead of guessing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import Entry, JoinState, MapState, NodeState, Phase, State
from flowrunner.core.status import RunStatus, StepStatus

VERSION = 1

_STEP_CODES = {
    StepStatus.SUCCEEDED: "s",
    StepStatus.FAILED: "f",
    StepStatus.SKIPPED: "k",
}
_STEP_STATUSES = {code: status for status, code in _STEP_CODES.items()}

# What the lists below are taken to hold where they end early.
_ENTRY: list[Json] = [None, None, 0, 0, "r", 1, 1, 0, None]
_NODE: list[Json] = [None, "s", 0, 1, 1, 1]
_MAP: list[Json] = [0, 0, "0", {}, {}]


def encode(state: State) -> dict[str, Json]:
    """The head as a JSON object; `decode` gives an equal state back."""
    document: dict[str, Json] = {
        "v": VERSION,
        "st": state.status.value,
        "rev": state.rev,
        "t0": state.started_at,
        "fr": {step: _entry(entry) for step, entry in state.frontier.items()},
        "pk": {step: _entry(entry) for step, entry in state.parked.items()},
        "nd": {node: _node(ended) for node, ended in state.nodes.items()},
        "jn": {node: _join(join) for node, join in state.joins.items()},
        "mp": {step: _map(items) for step, items in state.maps.items()},
        "vr": dict(state.vars),
        "sx": list(state.secrets),
        "n": state.steps,
        "a": state.attempt if state.attempt != 1 else 0,
        "r": state.retries,
        "dl": state.deadline,
        "pg": state.progress,
        "er": dict(state.error) if state.error else None,
        "sl": state.slot,
        "pa": int(state.parent),
    }
    return {key: value for key, value in document.items() if value}


def decode(document: Mapping[str, Any]) -> State:
    """The state of an encoded head. Raises `ValueError` for a format that this version does not know."""
    if document.get("v") != VERSION:
        raise ValueError(f"the head has format {document.get('v')!r}; this program knows format {VERSION}")
    get = document.get
    return State(
        status=RunStatus(document["st"]),
        rev=get("rev", 0),
        started_at=get("t0", 0),
        frontier={StepId(step): _read_entry(entry) for step, entry in get("fr", {}).items()},
        parked={StepId(step): _read_entry(entry) for step, entry in get("pk", {}).items()},
        nodes={NodeId(node): _read_node(ended) for node, ended in get("nd", {}).items()},
        joins={NodeId(node): _read_join(join) for node, join in get("jn", {}).items()},
        maps={StepId(step): _read_map(items) for step, items in get("mp", {}).items()},
        vars=get("vr", {}),
        secrets=tuple(get("sx", ())),
        steps=get("n", 0),
        attempt=get("a", 1),
        retries=get("r", 0),
        deadline=get("dl", 0),
        progress=get("pg", 0),
        error=get("er"),
        slot=get("sl"),
        parent=bool(get("pa")),
    )


def _entry(entry: Entry) -> list[Json]:
    values: list[Json] = [
        entry.node,
        entry.parent,
        entry.due,
        entry.via if entry.via != "default" else 0,
        entry.phase.value,
        entry.attempt,
        entry.n,
        entry.spent,
        entry.child,
    ]
    return _cut(values, _ENTRY)


def _read_entry(values: Sequence[Any]) -> Entry:
    node, parent, due, via, phase, attempt, n, spent, child = _pad(values, _ENTRY)
    return Entry(
        node,
        parent,
        "default" if via == 0 else via,
        due,
        Phase(phase),
        attempt,
        spent,
        n,
        child,
    )


def _node(ended: NodeState) -> list[Json]:
    action: Json = ended.action if ended.action != "default" else 0
    values: list[Json] = [
        ended.step,
        _STEP_CODES[ended.status],
        action,
        ended.attempt,
        ended.n,
        int(ended.handled),
    ]
    return _cut(values, _NODE)


def _read_node(values: Sequence[Any]) -> NodeState:
    step, status, action, attempt, n, handled = _pad(values, _NODE)
    return NodeState(
        step,
        _STEP_STATUSES[status],
        "default" if action == 0 else action,
        attempt,
        n,
        bool(handled),
    )


def _join(join: JoinState) -> list[Json]:
    arrived = {node: _STEP_CODES[status] + ("" if handled else "!") for node, (status, handled) in join.arrived.items()}
    return [arrived, int(join.fired)]


def _read_join(values: Sequence[Any]) -> JoinState:
    arrived = {NodeId(node): (_STEP_STATUSES[how[0]], not how.endswith("!")) for node, how in values[0].items()}
    return JoinState(arrived, bool(values[1]))


def _map(items: MapState) -> list[Json]:
    # The set of done items as hexadecimal text: 10,000 of them take 2.5 KB.
    values: list[Json] = [
        items.count,
        items.cursor,
        f"{items.done:x}",
        _indexes(items.bad),
        _indexes(items.again),
    ]
    return _cut(values, _MAP)


def _read_map(values: Sequence[Any]) -> MapState:
    count, cursor, done, bad, again = _pad(values, _MAP)
    return MapState(count, cursor, int(done, 16), _read_indexes(bad), _read_indexes(again))


def _indexes(attempts: Mapping[int, int]) -> dict[str, Json]:
    return {str(index): attempt for index, attempt in attempts.items()}


def _read_indexes(attempts: Mapping[str, int]) -> dict[int, int]:
    return {int(index): attempt for index, attempt in attempts.items()}


def _cut(values: list[Json], defaults: list[Json]) -> list[Json]:
    """Leave out the values at the end that are what `_pad` puts there."""
    end = len(values)
    while end and values[end - 1] == defaults[end - 1]:
        end -= 1
    return values[:end]


def _pad(values: Sequence[Any], defaults: list[Any]) -> list[Any]:
    return [*values, *defaults[len(values) :]]
