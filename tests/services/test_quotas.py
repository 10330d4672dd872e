"""Quotas: what is refused, for how long, and that 0 is no limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.ids import AccountId
from flowrunner.errors import QuotaExceeded
from flowrunner.services.quotas import MINUTE, Quotas
from flowrunner.services.usage import DAY, Usage
from flowrunner.settings import QuotaSettings
from flowrunner.testing import START, TurnedClock

from tests.engine.harness import ACCOUNT, Bench, bench, flow

OTHER = AccountId("other")
NONE = dict.fromkeys(QuotaSettings.model_fields, 0)


def quotas(b: Bench, **limits: int) -> Quotas:
    """These quotas and no others, on the bench's store."""
    parts = b.engine.parts
    usage = Usage(parts.backend.entities, b.clock)
    b.engine.watchers.watch_all(usage.observe)
    return Quotas(
        QuotaSettings.model_validate({**NONE, **limits}), parts.backend.values, parts.backend.history, usage, b.clock
    )


def refusal(check: Callable[[], None]) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as caught:
        check()
    return caught.value


def test_runs_per_minute() -> None:
    """The limit's number of starts passes, the next is refused, and another account is not concerned."""
    with bench() as b:
        limited = quotas(b, runs_per_minute=3)
        for _ in range(3):
            limited.check_start(ACCOUNT)
        error = refusal(lambda: limited.check_start(ACCOUNT))
        assert (error.code, error.details) == ("QUOTA_EXCEEDED", {"quota": "runs_per_minute", "limit": 3})
        limited.check_start(OTHER)


def test_several_processes_share_the_counter() -> None:
    """Two sets of quotas on one store refuse together what is too much."""
    with bench() as b:
        here, there = quotas(b, runs_per_minute=3), quotas(b, runs_per_minute=3)
        here.check_start(ACCOUNT)
        there.check_start(ACCOUNT)
        here.check_start(ACCOUNT)
        refusal(lambda: there.check_start(ACCOUNT))


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
@pytest.mark.parametrize("into", [0, 1, 30_000, 59_999])
@pytest.mark.parametrize("spread", [0, 20_000])
def test_the_time_to_come_back_is_right(limit: int, into: int, spread: int) -> None:
    """Whoever waits as long as told is let in, and a second and a half before that is refused."""
    with bench() as b:
        clock = b.clock
        limited = quotas(b, runs_per_minute=limit)
        clock.turn_to(START + into)
        for number in range(limit):
            clock.turn_to(START + into + spread * number // limit)
            limited.check_start(ACCOUNT)
        refused_at = clock.now()
        wait = refusal(lambda: limited.check_start(ACCOUNT)).retry_after * 1000
        assert 1000 <= wait <= 2 * MINUTE
        if wait > 2000:
            clock.turn_to(refused_at + wait - 1500)
            refusal(lambda: limited.check_start(ACCOUNT))
        clock.turn_to(refused_at + wait)
        limited.check_start(ACCOUNT)


def test_what_is_refused_does_not_count() -> None:
    """Somebody who keeps trying is let in as soon as somebody who waits."""
    with bench() as b:
        limited = quotas(b, runs_per_minute=2)
        for _ in range(2):
            limited.check_start(ACCOUNT)
        for _ in range(50):
            refusal(lambda: limited.check_start(ACCOUNT))
        b.clock.turn_to(START + 2 * MINUTE)
        limited.check_start(ACCOUNT)


def test_at_no_time_are_more_started_than_allowed() -> None:
    """Trying all the time, the most in any whole minute is the limit and the error of an estimate, and all is used."""
    with bench() as b:
        limited = quotas(b, runs_per_minute=60)
        starts: list[int] = []
        for second in range(600):
            b.clock.turn_to(START + second * 1000)
            for _ in range(5):
                try:
                    limited.check_start(ACCOUNT)
                except QuotaExceeded:
                    break
                starts.append(second)
        most = max(sum(1 for start in starts if begin <= start < begin + 60) for begin in range(540))
        assert most <= 75
        assert len(starts) >= 500


def test_concurrent_runs() -> None:
    """Live runs count, waiting ones too; one that ends makes room."""
    with bench() as b:
        limited = quotas(b, concurrent_runs=2)
        waiting = flow("a: {type: approval, params: {message: hm}}")
        first = b.start(waiting)
        b.work()
        limited.check_start(ACCOUNT)
        b.start(waiting)
        error = refusal(lambda: limited.check_start(ACCOUNT))
        assert error.details["quota"] == "concurrent_runs"
        b.engine.control.cancel(ACCOUNT, first)
        limited.check_start(ACCOUNT)


def test_steps_per_day() -> None:
    """When they are used up nothing is started until midnight, UTC."""
    with bench() as b:
        limited = quotas(b, steps_per_day=2)
        b.clock.turn_to(START + DAY - 90_500)
        limited.check_start(ACCOUNT)
        b.run(flow("a: {type: transform, next: b}\nb: {type: transform}"))
        error = refusal(lambda: limited.check_start(ACCOUNT))
        assert (error.retry_after, error.details["quota"]) == (91, "steps_per_day")
        b.clock.turn_to(START + DAY)
        limited.check_start(ACCOUNT)


def test_a_refused_start_is_not_counted_as_one() -> None:
    """The rate is asked last, so that a run refused for another reason uses nothing up."""
    with bench() as b:
        limited = quotas(b, concurrent_runs=1, runs_per_minute=1)
        run = b.start(flow("a: {type: approval, params: {message: hm}}"))
        for _ in range(3):
            assert refusal(lambda: limited.check_start(ACCOUNT)).details["quota"] == "concurrent_runs"
        b.engine.control.cancel(ACCOUNT, run)
        limited.check_start(ACCOUNT)


def test_things_are_counted_when_one_more_is_made() -> None:
    """At the limit the next one is refused, with what to do."""
    with bench() as b:
        limited = quotas(b, flows=2, secrets=1)
        limited.check_count(ACCOUNT, "flows", lambda: 1)
        error = refusal(lambda: limited.check_count(ACCOUNT, "flows", lambda: 2))
        assert "2 flows" in str(error)
        assert "delete some" in str(error)
        refusal(lambda: limited.check_count(ACCOUNT, "secrets", lambda: 1))


def test_zero_is_no_limit() -> None:
    """Nothing is refused, and nothing is even counted."""
    clock, backend = TurnedClock(), MemoryBackend()
    free = Quotas(
        QuotaSettings.model_validate(NONE), backend.values, backend.history, Usage(backend.entities, clock), clock
    )

    def never() -> int:
        raise AssertionError("there is nothing to count for")

    for _ in range(100):
        free.check_start(ACCOUNT)
        free.check_count(ACCOUNT, "tokens", never)
    assert backend.values.list(ACCOUNT, "$quota", START) == []


def test_runs_that_flows_start_have_ten_times_as_much() -> None:
    """Counted by themselves: a flow that starts itself takes no start from people."""
    with bench() as b:
        limits = quotas(b, runs_per_minute=2, concurrent_runs=1)
        for _ in range(20):
            limits.check_child(ACCOUNT)
        refused = refusal(lambda: limits.check_child(ACCOUNT))
        assert str(refused) == "flows of the account may start 20 runs a minute"
        assert refused.details["quota"] == "runs_per_minute"
        limits.check_start(ACCOUNT)
