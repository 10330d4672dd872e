"""Threads are shared among accounts: what each may have, what waits, and what is given back."""

from __future__ import annotations

import threading
from collections import Counter

from flowrunner.adapters.local.clock import SystemClock
from flowrunner.core.ids import AccountId, FlowId, RunId, StepId
from flowrunner.engine.shares import LEAST_PARKED, PUT_OFF, Parking, Ranked, admits
from flowrunner.engine.starter import StartRequest
from flowrunner.engine.worker import WorkerSettings
from flowrunner.ports.queue import Delivery, Receipt

from tests.engine.harness import make_engine
from tests.engine.talking import PATIENCE, TalkRegistry

SLOW = """
metadata: {name: slow}
nodes:
  a: {type: talk, foreach: {items: "${input}", max_concurrency: 400}, params: {lines: [one]}}
"""
QUICK = "metadata: {name: quick}\nnodes: {a: {type: script, hooks: {exec: 'return 1'}}}\n"


def delivery(account: str, number: int, priority: int = 1) -> Ranked:
    return priority, (0, number), Delivery(Receipt(AccountId(account), RunId("run"), StepId(str(number)), 1), 1)


def taken(parking: Parking, own: Counter[AccountId], free: int, limit: int = 100) -> list[tuple[str, str]]:
    return [(one[2].receipt.account, one[2].receipt.step) for one in parking.go(own.__getitem__, free, limit)]


def test_each_account_gets_a_part_of_what_is_free() -> None:
    """However many have come before; and a pool of one thread is somebody's."""
    free, parts = 32, []
    for _ in range(4):
        own = 0
        while admits(own, free):
            own, free = own + 1, free - 1
        parts.append(own)
    assert parts == [24, 6, 2, 0]
    assert admits(0, 1)
    assert not admits(0, 0)


def test_who_has_the_fewest_goes_first() -> None:
    """Then priority, then the order of arrival."""
    parking = Parking()
    for one in (delivery("a", 1), delivery("a", 2), delivery("b", 3), delivery("a", 4, 0), delivery("b", 5)):
        parking.add(one)
    own = Counter({AccountId("a"): 3})
    assert not parking.can_go(own.__getitem__, 0)
    assert taken(parking, own, 3, 2) == [("b", "3"), ("b", "5")]
    assert parking.can_go(own.__getitem__, 3)
    assert taken(parking, own, 3) == [("a", "4"), ("a", "1")], "with four of its own it may not have the last one"
    assert (len(parking), [one.step for one in parking.receipts()]) == (1, ["2"])
    assert [one.receipt.step for one in parking.clear()] == ["2"]
    assert not parking


def test_what_is_too_much_is_given_back_for_longer_and_longer() -> None:
    """The last of the account that has the most; it may keep half of what there would be room for."""
    parking = Parking()
    assert parking.surplus(0) == ([], 0)
    for number in range(200):
        parking.add(delivery("a", number))
    parking.add(delivery("b", 1000))
    surplus, pause = parking.surplus(0)
    assert ([one.receipt.step for one in surplus], pause) == ([str(number) for number in range(100, 200)], PUT_OFF[0])
    pauses = []
    for _ in range(8):
        for number in range(300, 400):
            parking.add(delivery("a", number))
        pauses.append(parking.surplus(-1_000)[1])
    assert pauses == [200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]
    assert len(parking) == LEAST_PARKED + 1
    assert len(taken(parking, Counter(), 1_000)) == LEAST_PARKED + 1
    parking.add(delivery("a", 1))
    for number in range(50):
        parking.add(delivery("a", number))
    assert parking.surplus(-1_000)[1] == PUT_OFF[0], "forgotten when nothing waited any more"


def test_the_slow_steps_of_one_account_leave_threads_for_others() -> None:
    """One run with 400 items that do not end held every thread, and every message that the worker may hold."""
    registry = TalkRegistry()
    engine, _ = make_engine(registry=registry, clock=SystemClock())
    worker = engine.worker(WorkerSettings(threads=8, in_flight=32))
    thread = threading.Thread(target=worker.run, args=(0,), daemon=True)
    thread.start()
    hostile, other = AccountId("hostile"), AccountId("other")
    slow, quick = engine.save_flow(hostile, SLOW), engine.save_flow(other, QUICK)
    engine.start(StartRequest(hostile, FlowId(slow.id), 1, list(range(400))))
    for _ in range(6):
        assert registry.talk.said.acquire(timeout=PATIENCE)
    for _ in range(3):
        run = engine.start(StartRequest(other, FlowId(quick.id), 1, 1))
        done = engine.wait(other, run, PATIENCE)
        assert done is not None
        assert done.status == "completed"
    assert not registry.talk.said.acquire(blocking=False), "the seventh waits for its turn"
    for _ in range(400):
        registry.talk.go.release()
    worker.stop()
    thread.join(PATIENCE)
    engine.close()
