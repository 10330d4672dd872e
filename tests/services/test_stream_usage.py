"""Metering from the table's stream: the same counts as by processes, and nothing twice however batches come."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.ids import AccountId
from flowrunner.errors import StoreError
from flowrunner.ports.changes import RunMoved
from flowrunner.ports.entities import Entity
from flowrunner.services.identity import Actor, Permission
from flowrunner.services.stream_usage import SEEN, SEEN_MINUTES, StreamUsage, Told
from flowrunner.services.usage import DAY, KIND, SUM_KEPT, Counts, Report, Usage

from tests.adapters.aws.streaming import Streamed, streamed
from tests.engine.harness import ACCOUNT, flow

OWNER = Actor(ACCOUNT, "ann", frozenset({Permission.USAGE_READ}))
FIRST, SECOND = "2026-01-01", "2026-01-02"
SEED = 20261121

TWO = flow("a: {type: transform, next: b}\nb: {type: transform}")
MANY = flow("""
a: {type: script, hooks: {exec: "return [1, 2, 3]"}, next: [each, wait, off, b]}
each: {type: transform, foreach: {items: "${prev}"}}
wait: {type: delay, params: {for: 1h}}
off: {type: transform, when: false}
b: {type: script, retry: {max_attempts: 2, delay: 1s, on: ["*"]}, on_error: continue, hooks: {exec: "throw new Error('no')"}}""")


def counting(s: Streamed, entities: MemoryBackend | None = None, told: Told = lambda commits: None) -> StreamUsage:
    """On a store of its own, so that it and the engine do not mind each other."""
    return StreamUsage(
        (entities or MemoryBackend()).entities, s.bench.clock, lambda change: f"name of {change.row.flow}", told
    )


def counts(backend: MemoryBackend, s: Streamed) -> Report:
    return Usage(backend.entities, s.bench.clock, streamed=True).report(OWNER, FIRST, SECOND)


def test_it_counts_what_processes_would() -> None:
    """Retries, items, waits and skipped nodes: runs, steps and compute time are those of a server."""
    with streamed() as s:
        server, stream = MemoryBackend(), MemoryBackend()
        process = Usage(server.entities, s.bench.clock)
        s.bench.engine.watchers.watch_all(process.observe)
        for document in (TWO, MANY, TWO):
            s.bench.run(document)
        process.flush()
        counting(s, stream).count(s.moved())
        assert counts(stream, s).total == process.report(OWNER, FIRST, SECOND).total
        assert counts(stream, s).total.runs == 3


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_batch_that_comes_again_counts_nothing(size: int) -> None:
    """Whole, in halves as Lambda cuts it, in another process, at once or a minute later."""
    with streamed() as s:
        stream = MemoryBackend()
        for _ in range(3):
            s.bench.run(MANY)
        moved = s.moved()
        once = MemoryBackend()
        counting(s, once).count(moved)
        draws = random.Random(SEED + size)
        for start in range(0, len(moved), size):
            batch = moved[start : start + size]
            counting(s, stream).count(batch)
            s.bench.clock.turn_to(s.bench.clock.now() + draws.choice((0, 60_000)))
            before = stored(stream, s)
            cut = draws.randint(0, len(batch))
            for part in (batch, batch[:cut], batch[cut:]):
                counting(s, stream).count(part)
            assert stored(stream, s) == before, "not even a write"
        assert counts(stream, s).total == counts(once, s).total


def stored(backend: MemoryBackend, s: Streamed) -> Sequence[Entity]:
    return backend.entities.list(ACCOUNT, KIND, s.bench.clock.now())


def test_a_write_that_fails_is_made_up_for() -> None:
    """A batch of which a part was counted when the store failed is counted whole when it comes again."""
    with streamed() as s:
        stream = MemoryBackend()
        s.bench.run(TWO)
        s.bench.run(TWO.replace("name: test", "name: other"))
        moved = s.moved()
        usage = counting(s, stream)
        put, writes = stream.entities.put, []

        def fail_second(*args: object, **options: object) -> object:
            writes.append(args)
            if len(writes) == 2:
                raise StoreError("down")
            return put(*args, **options)  # type: ignore[arg-type]  # passed on as it is

        stream.entities.put = fail_second  # type: ignore[method-assign, assignment]  # the fault that is tested
        with pytest.raises(StoreError):
            usage.count(moved)
        usage.count(moved)
        assert counts(stream, s).total == Counts(2, 4, 0)


def test_whoever_counts_something_else_is_told_of_each_commit_once() -> None:
    """However often a batch comes, and also of commits that end a run and are about no step."""
    with streamed() as s:
        told: list[RunMoved] = []
        stream = MemoryBackend()
        s.bench.run(MANY)
        waits = s.bench.start(MANY)
        s.bench.engine.control.cancel(ACCOUNT, waits)
        moved = s.moved()
        assert moved[-1].ended
        for batch in (moved[:1], moved[:3], moved, moved[2:], moved):
            counting(s, stream, told.extend).count(batch)
        assert len(told) == len({(one.row.id, one.row.rev) for one in told}) <= len(moved)
        assert [one.row.id for one in told if one.created] == [moved[0].row.id, waits]
        assert [one.row.id for one in told if one.ended] == [moved[0].row.id, waits]


def test_several_processes_add_up() -> None:
    """Shards have processes of their own; one that has an old row in mind reads the new one."""
    with streamed() as s:
        stream = MemoryBackend()
        meters = [counting(s, stream) for _ in range(3)]
        for index in range(9):
            s.bench.run(TWO)
            meters[index % 3].count(s.moved())
        assert counts(stream, s).total == Counts(9, 18, 0)


def test_days_are_those_of_the_commits() -> None:
    """A record of yesterday counts for yesterday, also when it comes late or again."""
    with streamed() as s:
        stream = MemoryBackend()
        s.bench.run(TWO)
        first = s.moved()
        s.bench.clock.turn_to(s.bench.clock.now() + DAY)
        s.bench.run(TWO)
        second = s.moved()
        usage = counting(s, stream)
        for batch in (second, first, second, first):
            usage.count(batch)
        rows = {row.day: row.counts.steps for row in counts(stream, s).rows}
        assert rows == {FIRST: 2, SECOND: 2}


def test_what_is_remembered_of_runs_stays_small() -> None:
    """Commits are forgotten after some minutes, or after many others; the row does not grow with the day."""
    with streamed() as s:
        stream = MemoryBackend()
        usage = counting(s, stream)
        s.bench.run(TWO)
        [first, *rest] = s.moved()
        usage.count([first, *rest])
        for index in range(3 * SEEN):
            usage.count([other(first, index)])
        [row] = stored(stream, s)
        assert len(row.body) < SEEN * 6
        usage.count(rest)
        assert counts(stream, s).total.runs == 3 * SEEN + 1
        assert counts(stream, s).total.steps == 2 * 2, "its commits came again far too late"
        s.bench.clock.turn_to(s.bench.clock.now() + (SEEN_MINUTES + 1) * 60_000)
        usage.count([other(first, -1)])
        [row] = stored(stream, s)
        assert len(row.body) < 200


def other(change: RunMoved, index: int) -> RunMoved:
    """The same commit of another run."""
    return replace(change, row=replace(change.row, id=f"run-{index}"))  # type: ignore[arg-type]  # an id is a text


def test_a_commit_that_is_about_nothing_to_pay_for_writes_nothing() -> None:
    """A stream of waits and timers does not touch the counts."""
    with streamed() as s:
        stream = MemoryBackend()
        s.bench.run(TWO)
        [first, *_] = s.moved()
        counting(s, stream).count([replace(first, created=False, steps=())])
        assert stored(stream, s) == []


def test_rows_have_the_flows_name_and_a_lasting_end() -> None:
    """A flow is shown by its name; the time at which a row expires is the same for all writes of a day."""
    with streamed() as s:
        stream = MemoryBackend()
        usage = counting(s, stream)
        s.bench.run(TWO)
        usage.count(s.moved())
        [before] = stored(stream, s)
        s.bench.clock.turn_to(s.bench.clock.now() + 3_600_000)
        s.bench.run(TWO)
        usage.count(s.moved())
        [after] = stored(stream, s)
        assert before.expires_at == after.expires_at
        [row] = counts(stream, s).rows
        assert row.flow_name == f"name of {row.flow}"
        stranger = Actor(AccountId("other"), "sue", frozenset({Permission.USAGE_READ}))
        assert not Usage(stream.entities, s.bench.clock, streamed=True).report(stranger, FIRST, SECOND).rows


def test_the_steps_of_today_are_added_up_now_and_then() -> None:
    """A quota sees the steps of all flows, as of half a minute ago."""
    with streamed() as s:
        stream = MemoryBackend()
        usage, asked = counting(s, stream), Usage(stream.entities, s.bench.clock, streamed=True)
        s.bench.run(TWO)
        s.bench.run(TWO.replace("name: test", "name: other"))
        usage.count(s.moved())
        assert asked.steps_today(ACCOUNT) == 4
        s.bench.run(TWO)
        usage.count(s.moved())
        assert asked.steps_today(ACCOUNT) == 4
        s.bench.clock.turn_to(s.bench.clock.now() + SUM_KEPT + 1)
        assert asked.steps_today(ACCOUNT) == 6
