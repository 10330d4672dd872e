"""Differences between texts: right for all, as short as `difflib`'s for most, and found in time for every text."""

from __future__ import annotations

import difflib

import pytest
from flowrunner.services.line_diff import changes, unified
from hypothesis import given
from hypothesis import strategies as st

LINES = st.lists(st.sampled_from("abcdefgh"), max_size=40)


def applied(a: list[str], b: list[str]) -> list[str]:
    """`a` with all changes made."""
    made, at = [], 0
    for change in changes(a, b):
        made += a[at : change.i] + b[change.k : change.n]
        at = change.j
    return made + a[at:]


@given(LINES, LINES)
def test_the_changes_make_one_text_of_the_other(a: list[str], b: list[str]) -> None:
    """Whatever they are; nothing is replaced in a text that is the same."""
    assert applied(a, b) == b
    assert changes(a, a) == []


@given(LINES, st.integers(0, 40), LINES)
def test_one_change_is_shown_as_difflib_shows_it(a: list[str], at: int, more: list[str]) -> None:
    """Lines that are there once, some of them taken out, others put in."""
    unique = [f"{number} {line}" for number, line in enumerate(a)]
    b = unique[:at] + [f"new {line}" for line in more] + unique[at + 2 :]
    expected = "\n".join(difflib.unified_diff(unique, b, "r1", "r2", lineterm=""))
    assert unified("\n".join(unique), "\n".join(b), "r1", "r2") == expected


def test_hunks_are_those_of_diff() -> None:
    """With three lines around each change, and one hunk for changes that are near each other."""
    old = "\n".join(f"line {number}" for number in range(40))
    new = old.replace("line 3\n", "").replace("line 7\n", "line 7b\n").replace("line 30", "line 30\nmore")
    shown = (
        "--- a|+++ b|@@ -1,11 +1,10 @@| line 0| line 1| line 2|-line 3| line 4| line 5| line 6|-line 7|+line 7b| line 8"
        "| line 9| line 10|@@ -29,6 +28,7 @@| line 28| line 29| line 30|+more| line 31| line 32| line 33"
    )
    assert unified(old, new, "a", "b").split("\n") == shown.split("|")
    assert unified(old, old, "a", "b") == ""
    assert unified("", "x", "a", "b") == "--- a\n+++ b\n@@ -0,0 +1 @@\n+x"
    assert unified("x", "", "a", "b") == "--- a\n+++ b\n@@ -1 +0,0 @@\n-x"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([i % 110 for i in range(128_000)], [(i * 7 + 3) % 110 for i in range(128_000)]),
        ([0] * 128_000, [0, 1] * 64_000),
        ([i if i % 2 else -1 for i in range(60_000)], [-i if i % 2 else -1 for i in range(60_000)]),
        (list(range(60_000)), list(range(60_000))[::-1]),
        ([i // 2 for i in range(60_000)], [i // 2 for i in range(1, 60_001)]),
    ],
    ids=["few lines, often", "one line", "every other line", "the other way round", "pairs"],
)
def test_texts_that_are_made_to_cost_time(a: list[int], b: list[int]) -> None:
    """As large as documents may be. `difflib` takes hours for the first."""
    old, new = [str(line) for line in a], [str(line) for line in b]
    assert applied(old, new) == new
