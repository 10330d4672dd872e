"""Unified diffs in bounded time: patience, with a budget.

`difflib` takes cubic time for texts that are made for it, seven seconds for 32 KB. Here lines that are there once in
both texts are matched first, then what lies between them (Bram Cohen's patience diff). Where that costs too much a
block is shown as replaced: right, only longer than it need be.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

BUDGET = 1_000_000
"""Lines looked at, and pairs of lines compared, in all."""
SMALL = 40_000
"""Pairs of lines in a block that is compared line by line."""
CONTEXT = 3


class Change(NamedTuple):
    """Lines `a[i:j]` and `b[k:n]`: a block that is looked at, in the end one that replaces the other."""

    i: int
    j: int
    k: int
    n: int


def unified(old: str, new: str, old_name: str, new_name: str) -> str:
    """The difference between two texts as `diff -u` shows it; empty when there is none."""
    a, b = old.splitlines(), new.splitlines()
    lines = [line for group in _groups(changes(a, b)) for line in _hunk(a, b, group)]
    return "\n".join([f"--- {old_name}", f"+++ {new_name}", *lines]) if lines else ""


def changes(a: Sequence[str], b: Sequence[str]) -> list[Change]:
    """What was replaced by what, in order."""
    found: list[Change] = []
    budget = BUDGET
    blocks = [Change(0, len(a), 0, len(b))]
    while blocks:
        block = _trimmed(a, b, blocks.pop())
        i, j, k, n = block
        if i == j and k == n:
            continue
        pairs = (j - i) * (n - k)
        budget -= j - i + n - k
        anchors = _anchors(a, b, block) if pairs and budget > 0 else []
        if anchors:
            starts = [(i, k), *((one + 1, other + 1) for one, other in anchors)]
            between = zip(starts, [*anchors, (j, n)], strict=True)
            blocks += reversed([Change(start[0], end[0], start[1], end[1]) for start, end in between])
        elif 0 < pairs <= min(SMALL, budget):
            budget -= pairs
            found += _compared(a, b, block)
        else:
            found.append(block)
    return _joined(found)


def _trimmed(a: Sequence[str], b: Sequence[str], block: Change) -> Change:
    """Without the lines at both ends that are equal."""
    i, j, k, n = block
    while i < j and k < n and a[i] == b[k]:
        i, k = i + 1, k + 1
    while i < j and k < n and a[j - 1] == b[n - 1]:
        j, n = j - 1, n - 1
    return Change(i, j, k, n)


def _anchors(a: Sequence[str], b: Sequence[str], block: Change) -> list[tuple[int, int]]:
    """Pairs of lines that are there once in both halves of the block: most of those whose order is the same."""
    here, there = Counter(a[block.i : block.j]), Counter(b[block.k : block.n])
    place = {b[at]: at for at in range(block.k, block.n) if there[b[at]] == 1}
    pairs = [(at, place[a[at]]) for at in range(block.i, block.j) if here[a[at]] == 1 and a[at] in place]
    # The longest increasing subsequence: `ends` are the smallest ends of those of each length.
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for number, (_, other) in enumerate(pairs):
        length = bisect_left(ends, other)
        before.append(last[length - 1] if length else -1)
        if length == len(ends):
            ends.append(other)
            last.append(number)
        else:
            ends[length], last[length] = other, number
    chosen: list[tuple[int, int]] = []
    number = last[-1] if last else -1
    while number >= 0:
        chosen.append(pairs[number])
        number = before[number]
    return chosen[::-1]


def _compared(a: Sequence[str], b: Sequence[str], block: Change) -> Iterator[Change]:
    i, j, k, n = block
    matcher = SequenceMatcher(None, a[i:j], b[k:n], autojunk=False)
    for tag, *(one, two, three, four) in matcher.get_opcodes():
        if tag != "equal":
            yield Change(i + one, i + two, k + three, k + four)


def _joined(found: Sequence[Change]) -> list[Change]:
    """With those that touch each other made one."""
    joined: list[Change] = []
    for change in found:
        if joined and joined[-1].j == change.i and joined[-1].n == change.k:
            change = Change(joined[-1].i, change.j, joined.pop().k, change.n)  # noqa: PLW2901  # the longer one
        joined.append(change)
    return joined


def _groups(found: Sequence[Change]) -> Iterator[list[Change]]:
    """Changes that are shown in one hunk: those that are near each other."""
    group: list[Change] = []
    for change in found:
        if group and change.i - group[-1].j > 2 * CONTEXT:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _hunk(a: Sequence[str], b: Sequence[str], group: Sequence[Change]) -> Iterator[str]:
    first, last = group[0], group[-1]
    before = min(CONTEXT, first.i)
    after = min(CONTEXT, len(a) - last.j)
    old, new = _range(first.i - before, last.j + after), _range(first.k - before, last.n + after)
    yield f"@@ -{old} +{new} @@"
    at = first.i - before
    for change in group:
        yield from (f" {line}" for line in a[at : change.i])
        yield from (f"-{line}" for line in a[change.i : change.j])
        yield from (f"+{line}" for line in b[change.k : change.n])
        at = change.j
    yield from (f" {line}" for line in a[at : at + after])


def _range(start: int, stop: int) -> str:
    """As in POSIX's `diff -u`: the first line and how many; with none, the line before."""
    count = stop - start
    return str(start + 1) if count == 1 else f"{start + 1 if count else start},{count}"
