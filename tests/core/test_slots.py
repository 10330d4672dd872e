"""Places of `concurrency`: who holds one, who waits, who is pushed out."""

from __future__ import annotations

from typing import Literal

import pytest
from flowrunner.core.ids import RunId
from flowrunner.core.slots import Admission, Slots, Verdict, admit, forget, release
from hypothesis import given
from hypothesis import strategies as st

from tests.core.profiles import share

OnLimit = Literal["queue", "reject", "cancel_oldest"]


def ids(text: str) -> tuple[RunId, ...]:
    return tuple(RunId(name) for name in text)


def slots(holders: str = "", queue: str = "") -> Slots:
    return Slots(ids(holders), ids(queue))


GRANTED, QUEUED, REJECTED = Verdict.GRANTED, Verdict.QUEUED, Verdict.REJECTED


@pytest.mark.parametrize(
    ("before", "run", "on_limit", "after", "verdict", "cancel"),
    [
        (slots(), "a", "queue", slots("a"), GRANTED, None),
        (slots("a"), "b", "queue", slots("ab"), GRANTED, None),
        (slots("ab"), "c", "queue", slots("ab", "c"), QUEUED, None),
        (slots("ab"), "c", "reject", slots("ab"), REJECTED, None),
        (slots("ab"), "c", "cancel_oldest", slots("ab", "c"), QUEUED, "a"),
        (slots("ab", "c"), "d", "cancel_oldest", slots("ab", "cd"), QUEUED, "b"),
        (slots("ab", "cd"), "e", "cancel_oldest", slots("ab", "cde"), QUEUED, None),
        (slots("a", "b"), "c", "queue", slots("a", "bc"), QUEUED, None),
        (slots("a", "b"), "b", "queue", slots("a", "b"), QUEUED, None),
        (slots("ab"), "a", "reject", slots("ab"), GRANTED, None),
    ],
)
def test_admission(
    before: Slots, run: str, on_limit: OnLimit, after: Slots, verdict: Verdict, cancel: str | None
) -> None:
    """With two places: nobody overtakes the queue, asking again changes nothing, each newcomer pushes out one."""
    pushed = RunId(cancel) if cancel else None
    assert admit(before, RunId(run), 2, on_limit) == Admission(after, verdict, pushed)


@pytest.mark.parametrize(
    ("before", "run", "after", "granted"),
    [
        (slots("ab", "cd"), "a", slots("bc", "d"), "c"),
        (slots("ab", "cd"), "c", slots("ab", "d"), ""),
        (slots("ab", "cd"), "z", slots("ab", "cd"), ""),
        (slots("a"), "a", slots(), ""),
        (slots("abc", "d"), "a", slots("bc", "d"), ""),
        (slots("", "abc"), "z", slots("ab", "c"), "ab"),
    ],
)
def test_release(before: Slots, run: str, after: Slots, granted: str) -> None:
    """With two places: the next in the queue gets the free one; a limit that was lowered is waited for."""
    assert release(before, RunId(run), 2) == (after, ids(granted))


def test_runs_that_are_gone_are_forgotten() -> None:
    """Holders and waiting runs alike."""
    assert forget(slots("abc", "de"), ids("bd")) == slots("ac", "e")


@share(20)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef")), max_size=30),
    st.integers(1, 3),
    st.sampled_from(["queue", "reject", "cancel_oldest"]),
)
def test_places_are_never_overbooked_or_idle(wishes: list[tuple[bool, str]], most: int, on_limit: OnLimit) -> None:
    """However runs come and go: no more holders than places, nobody twice, and no queue beside a free place."""
    state = Slots()
    for comes, name in wishes:
        if comes:
            state = admit(state, RunId(name), most, on_limit).slots
        else:
            state, granted = release(state, RunId(name), most)
            assert set(granted) <= set(state.holders)
        everybody = [*state.holders, *state.queue]
        assert len(everybody) == len(set(everybody))
        assert len(state.holders) <= most
        assert not state.queue or len(state.holders) == most
