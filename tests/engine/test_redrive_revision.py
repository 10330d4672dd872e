"""A redrive on another revision of the flow: what has happened stays, what is to go on must fit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flowrunner.core.ids import RunId
from flowrunner.errors import Conflict, NotFound
from flowrunner.ports.runs import RowStatus

from tests.engine.harness import ACCOUNT, Bench, bench

FAILS = "hooks: {exec: \"throw new Error('x')\"}"
WORKS = "hooks: {exec: \"return 'mended'\"}"


@pytest.fixture
def b() -> Iterator[Bench]:
    with bench() as made:
        yield made


def failed(b: Bench, nodes: str) -> RunId:
    """A run of the flow that has failed."""
    run = b.start(document(nodes))
    b.work()
    assert b.result(run).status == "failed"
    return run


def document(nodes: str) -> str:
    return f"metadata: {{name: f}}\nnodes:\n{nodes}"


def redriven(b: Bench, run: RunId, nodes: str) -> None:
    """Go on with the flow as it is now."""
    row = b.engine.save_flow(ACCOUNT, document(nodes))
    b.engine.control.redrive(ACCOUNT, run, revision=row.revision)
    b.work()


def test_the_failed_step_runs_as_the_revision_has_it(b: Bench) -> None:
    """What succeeded is not executed again, and new nodes behind it run."""
    run = failed(b, f"  a: {{type: script, hooks: {{exec: 'return 1'}}, next: b}}\n  b: {{type: script, {FAILS}}}\n")
    redriven(
        b,
        run,
        f"  a: {{type: script, {FAILS}, next: b}}\n  b: {{type: script, {WORKS}, next: c}}\n"
        "  c: {type: transform, params: {value: '${prev}!'}}\n",
    )
    assert b.result(run).output == {"c": "mended!"}
    assert [one.label for one in b.steps(run) if one.status is RowStatus.SUCCEEDED] == ["a", "b", "c"]


def test_a_join_is_put_together_from_what_it_needs_now(b: Bench) -> None:
    """A need that ended before the join knew of it counts as arrived."""
    old = (
        "  a: {type: transform, params: {value: 1}}\n  other: {type: transform, params: {value: 2}}\n"
        f"  b: {{type: script, {FAILS}}}\n  both: {{type: transform, needs: [a, b], params: {{value: '${{prev}}'}}}}\n"
    )
    run = failed(b, old)
    new = old.replace(FAILS, WORKS).replace("needs: [a, b]", "needs: [a, b, other]")
    redriven(b, run, new)
    assert b.result(run).output == {"both": {"a": 1, "b": "mended", "other": 2}}


def test_a_node_that_is_gone_is_named(b: Bench) -> None:
    """The run is left as it was, and can go on with a revision that has the node."""
    run = failed(b, f"  a: {{type: script, {FAILS}}}\n")
    b.engine.save_flow(ACCOUNT, document("  z: {type: transform, params: {value: 1}}\n"))
    with pytest.raises(Conflict, match="no node 'a'"):
        b.engine.control.redrive(ACCOUNT, run, revision=2)
    with pytest.raises(NotFound):
        b.engine.control.redrive(ACCOUNT, run, revision=9)
    assert b.result(run).status == "failed"
    redriven(b, run, f"  a: {{type: script, {WORKS}}}\n")
    assert b.result(run).output == {"a": "mended"}


def test_a_foreach_that_is_none_any_more_is_named(b: Bench) -> None:
    """Its items could not go on."""
    run = failed(b, f"  a: {{type: script, foreach: {{items: '${{[1, 2]}}'}}, {FAILS}}}\n")
    b.engine.save_flow(ACCOUNT, document(f"  a: {{type: script, {WORKS}}}\n"))
    with pytest.raises(Conflict, match="no foreach"):
        b.engine.control.redrive(ACCOUNT, run, revision=2)


def test_a_live_run_is_not_moved(b: Bench) -> None:
    """It has to end first."""
    run = b.start(document("  a: {type: delay, params: {for: 1h}}\n"))
    b.worker.drain()
    b.engine.save_flow(ACCOUNT, document("  a: {type: delay, params: {for: 2h}}\n"))
    with pytest.raises(Conflict, match="only a run that has ended"):
        b.engine.control.redrive(ACCOUNT, run, revision=2)
