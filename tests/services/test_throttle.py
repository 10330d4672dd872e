"""Limits on how often something may happen."""

from __future__ import annotations

import threading

import pytest
from flowrunner.errors import TooManyRequests
from flowrunner.services.throttle import Attempts, Throttle, address_key, decide
from flowrunner.testing import TurnedClock
from hypothesis import given
from hypothesis import strategies as st


def test_a_bucket_empties_and_refills() -> None:
    """As many as the limit may happen at once, then one whenever its share of the period has gone by."""
    clock = TurnedClock()
    throttle = Throttle(clock, limit=3, period=60)
    assert [throttle.check("a").remaining for _ in range(3)] == [2, 1, 0]
    refused = throttle.check("a")
    assert (refused.allowed, refused.limit, refused.remaining) == (False, 3, 0)
    assert (refused.retry_after, refused.reset_seconds) == (20, 60)
    clock.turn_to(clock.now() + 20_000)
    assert throttle.check("a").allowed
    assert not throttle.check("a").allowed


def test_keys_do_not_share() -> None:
    """What one key uses up, another still has."""
    throttle = Throttle(TurnedClock(), limit=1)
    assert throttle.check("a").allowed
    assert not throttle.check("a").allowed
    assert throttle.check("b").allowed


def test_a_refusal_is_an_error_that_says_how_long() -> None:
    """`require` raises with the wait, and does nothing when it is allowed."""
    throttle = Throttle(TurnedClock(), limit=1, period=30)
    throttle.check("a").require()
    with pytest.raises(TooManyRequests, match="slower") as caught:
        throttle.check("a").require("slower")
    assert caught.value.retry_after == 30


def test_the_quietest_key_is_forgotten() -> None:
    """Memory is bounded: the key that was asked for longest ago goes."""
    throttle = Throttle(TurnedClock(), limit=1, keys=2)
    for key in ("a", "b", "a", "c"):
        throttle.check(key)
    assert not throttle.check("a").allowed
    assert throttle.check("b").allowed


@given(
    limit=st.integers(1, 50),
    period=st.sampled_from([0.5, 1.0, 7.0, 60.0, 3600.0]),
    pauses=st.lists(st.floats(0, 100), min_size=1, max_size=200),
)
def test_a_bucket_gives_what_it_holds_and_no_more(limit: int, period: float, pauses: list[float]) -> None:
    """In any time no more is allowed than the limit and what was refilled; and after `retry_after` it is allowed."""
    now, full_at, begin, allowed = 1000.0, 0.0, 1000.0, 0
    for pause in pauses:
        now += pause * period / limit
        decision, full_at = decide(full_at, now, limit, period)
        allowed += decision.allowed
        assert allowed <= limit + (now - begin) * limit / period + 1e-3
        assert 0 <= decision.remaining < limit
        if not decision.allowed:
            assert decide(full_at, now + decision.retry_after, limit, period)[0].allowed


def test_failures_are_counted_in_any_minute() -> None:
    """The 21st in any 60 seconds is refused, however they are spread, and the first moment counts again after them."""
    clock = TurnedClock()
    attempts = Attempts(clock, limit=20)
    begin = clock.now()
    for index in range(20):
        clock.turn_to(begin + index * 2_900)
        assert attempts.begin("a") == 0
    assert attempts.begin("a") == 5
    assert attempts.wait("a") == 5
    clock.turn_to(begin + 60_000)
    assert attempts.begin("a") == 0


def test_what_succeeded_is_taken_back() -> None:
    """An attempt that was none of those that are limited leaves no trace."""
    attempts = Attempts(TurnedClock(), limit=1)
    for _ in range(5):
        assert attempts.begin("a") == 0
        attempts.take_back("a")
    attempts.take_back("a")
    assert attempts.begin("a") == 0
    assert attempts.begin("a") == 60


def test_attempts_forget_the_quietest_key() -> None:
    """Memory is bounded here as well, and a key whose time is over takes none."""
    clock = TurnedClock()
    attempts = Attempts(clock, limit=1, keys=2)
    for key in ("a", "b", "c"):
        attempts.begin(key)
    assert (attempts.wait("a"), attempts.wait("c")) == (0, 60)
    clock.turn_to(clock.now() + 60_000)
    assert attempts.wait("c") == 0
    assert "c" not in attempts._moments


def test_many_at_once_do_not_slip_through() -> None:
    """However many threads try at the same moment, the limit holds."""
    attempts = Attempts(TurnedClock(), limit=5)
    let_in: list[int] = []
    threads = [threading.Thread(target=lambda: let_in.append(attempts.begin("a"))) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(let_in) == [0] * 5 + [60] * 25


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix socket", "unix socket"),
        ("", ""),
    ],
)
def test_what_counts_as_one_client(address: str, key: str) -> None:
    """An IPv4 address in any form, or the network that one customer has of IPv6."""
    assert address_key(address) == key
