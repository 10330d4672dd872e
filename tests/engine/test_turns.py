"""Accounts take turns: whoever comes late does not wait for all that another one has put into the queue before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.core.ids import AccountId
from flowrunner.engine.starter import StartRequest
from flowrunner.engine.turns import MANY, Rounds, Turns
from flowrunner.engine.worker import WorkerSettings
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import Registry
from flowrunner.ports.backend import Backend

from tests.contracts.suites.build import LEASE, NOW, message
from tests.engine.harness import make_engine

HELD = WorkerSettings().in_flight
BACKLOG = int(os.environ.get("CHECK_BACKLOG", str(2 * HELD)))
"""`CHECK_BACKLOG=50000 scripts/test tests/engine/test_turns.py` tries as many runs as the goal says."""

FLOW = "metadata: {name: two}\nnodes:\n  a: {type: seen, params: {who: '${input}'}, next: b}\n  b: {type: seen, params: {who: '${input}'}}"


class Who(Params):
    """Whose step it is."""

    who: str


class Seen(NodeType[Who]):
    """Remembers whose steps were executed."""

    name = "seen"
    params = Who
    quick = True

    def __init__(self) -> None:
        self.order: list[str] = []

    def execute(self, ctx: Context[Who]) -> Result:
        self.order.append(ctx.params.who)
        return Result(ctx.params.who)


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = MemoryBackend() if request.param == "memory" else SqliteBackend(tmp_path / "turns.db", "normal")
    made.migrate()
    yield made
    made.close()


def test_a_run_does_not_wait_for_the_backlog_of_another_account(backend: Backend) -> None:
    """What the worker holds already is executed before, and hardly more of what is in the queue."""
    registry = Registry([EntryPoint("seen", f"{__name__}:Seen", "flowrunner.nodes")])
    engine, _ = make_engine(backend, registry=registry)
    for who, runs in (("crowd", BACKLOG), ("one", 1)):
        flow = engine.save_flow(AccountId(who), FLOW)
        for _ in range(runs):
            engine.start(StartRequest(AccountId(who), flow.id, 1, who))
    engine.worker().drain()
    seen = registry.get("seen")
    assert isinstance(seen, Seen)
    assert seen.order.count("crowd") == 2 * BACKLOG
    last = len(seen.order) - seen.order[::-1].index("one")
    assert last < 2 * HELD, f"its second step was the {last}th of all"


def test_one_look_is_not_filled_by_turns_alone() -> None:
    """Most of what is taken goes by age; without a crowd all of it does."""
    backend = MemoryBackend()
    backend.queue.send([message(f"{n}", account=f"a{n % 40:02}", due=NOW - 1_000 + n) for n in range(200)])
    turns = Turns(backend.queue, "w")
    looks = [[one.receipt.step for one in turns.receive(NOW, LEASE, 40)] for _ in range(6)]
    assert looks[0] == [str(n) for n in range(40)]
    assert looks[1] == [str(n) for n in range(40, 80)]
    assert looks[2][:10] == [str(n) for n in range(90, 100)], "the ten accounts after those of the look before"
    assert [len(look) for look in looks] == [40, 40, 40, 40, 40, 0]


def test_who_comes_late_is_served_in_the_present_round() -> None:
    """Not before those who wait for their first message of it, and before the second ones of others."""
    rounds = Rounds()
    crowd, late = AccountId("crowd"), AccountId("late")
    places = [rounds.place(crowd) for _ in range(5)]
    assert places == sorted(places)
    rounds.served(places[1])
    assert places[1] < rounds.place(late) < places[2]
    assert places[2] < rounds.place(late) < places[3]


def test_accounts_of_the_past_are_forgotten() -> None:
    """However many there have been."""
    rounds = Rounds()
    for number in range(3 * MANY):
        rounds.served(rounds.place(AccountId(str(number))))
        rounds.served((number + 1, 0))
    assert len(vars(rounds)["_last"]) <= MANY
