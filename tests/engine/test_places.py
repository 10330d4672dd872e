"""Places of `concurrency` when several runs are started at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowrunner.core.ids import RunId

from tests.engine.harness import bench
from tests.engine.test_runs import flow

ONE_AT_ONCE = flow("a: {type: delay, params: {for: 1m}}", "concurrency: {max_runs: 1, key: one, on_limit: queue}")


def test_a_queued_run_that_was_forgotten_before_it_was_stored_asks_again() -> None:
    """Whoever asks for a place drops runs that there are not; one that is about to be stored is not there either."""
    with bench() as b:
        first = b.start(ONE_AT_ONCE, run="first")
        runs = b.engine.parts.backend.runs
        create = runs.create

        def beaten(*given: Any, **named: Any) -> Sequence[bool]:
            runs.create = create  # type: ignore[method-assign]  # it is beaten once
            b.start(ONE_AT_ONCE, run="third")
            return create(*given, **named)

        runs.create = beaten  # type: ignore[method-assign]  # between the wish for a place and the run
        second = b.start(ONE_AT_ONCE, run="second")
        b.work()
        ended = [b.result(run).ended_at for run in (first, second, RunId("third"))]
        assert all(ended)
        assert len(set(ended)) == 3, "one at a time"
