"""Places of `concurrency` when several runs are started at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from flowrunner.core.ids import RunId
from flowrunner.errors import StoreError

from tests.engine.harness import bench, flow

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


def test_a_place_is_kept_for_a_run_that_is_about_to_be_stored() -> None:
    """Two runs that are started at the same moment are not live at once: the first has its place, stored or not."""
    with bench() as b:
        runs = b.engine.parts.backend.runs
        create = runs.create

        def beaten(*given: Any, **named: Any) -> Sequence[bool]:
            runs.create = create  # type: ignore[method-assign]  # it is beaten once
            b.start(ONE_AT_ONCE, run="second")
            return create(*given, **named)

        runs.create = beaten  # type: ignore[method-assign]  # between the wish for a place and the run
        b.start(ONE_AT_ONCE, run="first")
        b.work()
        ended = [b.result(RunId(run)).ended_at or 0 for run in ("first", "second")]
        assert ended[1] - ended[0] >= 60_000, "one after the other"


def test_a_place_of_a_run_that_was_never_stored_is_taken_by_who_waits_for_it() -> None:
    """Whoever died between its wish and its run holds nobody up for ever, and no sweep is needed for that."""
    with bench() as b:
        runs = b.engine.parts.backend.runs
        create = runs.create

        def dies(*given: Any, **named: Any) -> Sequence[bool]:
            raise StoreError("the process is gone")

        for ghost in ("first", "third"):
            runs.create = dies  # type: ignore[method-assign]  # the wish was stored, the run is not
            with pytest.raises(StoreError):
                b.start(ONE_AT_ONCE, run=ghost)
            runs.create = create  # type: ignore[method-assign]  # as it was
            b.clock.turn_to(b.clock.now() + 10_000)
            b.start(ONE_AT_ONCE, run="second" if ghost == "first" else "fourth")
        b.work()
        results = [b.result(RunId(run)) for run in ("second", "fourth")]
        assert [one.status for one in results] == ["completed", "completed"]
        assert (results[1].ended_at or 0) - (results[0].ended_at or 0) >= 60_000, "one after the other"
