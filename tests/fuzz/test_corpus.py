"""The kept inputs, mutations of them, and what Hypothesis makes of the same languages: each is taken or refused as promised.

The counts are fixed and drawn from a fixed seed, so that a run means the same on every machine. `scripts/fuzz` goes on from
here for as long as wanted; what it finds is kept in `corpus/` and so run here ever after.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutate import Mutator
from tests.fuzz.target import ACCEPTED, CORPUS, REFUSED, Target
from tests.fuzz.targets import TARGETS

MUTATIONS = 300
"""Of the quickest targets; slower ones get their share of it."""
EXAMPLES = 60

SLOW = {"evaluation"}
"""Each input takes a process its time; of its kept ones the tests of the sandbox run the like."""

names = pytest.mark.parametrize("name", TARGETS)


@names
def test_what_is_kept_holds(name: str) -> None:
    """Every kept input ends as promised; among them are some that are taken, so that refusing all would be noticed."""
    target = TARGETS[name]
    outcomes = {path.name: target.feed(path.read_bytes()) for path in target.corpus()}
    assert {ACCEPTED, REFUSED} == set(outcomes.values()), outcomes


@names
def test_what_is_made_of_it_holds(name: str) -> None:
    """So do mutations of the kept inputs."""
    target = TARGETS[name]
    seeds = [path.read_bytes() for path in target.corpus()]
    mutator = Mutator(0, target.words)
    for _ in range(max(1, MUTATIONS // target.pace)):
        data = mutator.mutated(mutator.choose(seeds), seeds)
        assert target.feed(data) in (ACCEPTED, REFUSED), data


def sentences(target: Target) -> st.SearchStrategy[bytes]:
    """Any bytes, any text, and jumbles of the words of a language."""
    word = st.sampled_from(target.words) if target.words else st.nothing()
    jumble = st.lists(word | st.binary(max_size=3), max_size=30).map(b"".join)
    return (
        jumble | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60)
    )


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in SLOW])
def test_any_sentence_holds(name: str) -> None:
    """And whatever Hypothesis makes of the words of the language, or of nothing at all."""
    target = TARGETS[name]

    @settings(
        max_examples=max(10, EXAMPLES // target.pace),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(sentences(target))
    def holds(data: bytes) -> None:
        assert target.feed(data) in (ACCEPTED, REFUSED)

    holds()


def test_every_folder_is_a_targets() -> None:
    """No kept input lies where nobody runs it, and none is large."""
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert [path for path in CORPUS.rglob("*") if path.is_file() and path.stat().st_size > 2_000] == []


def test_the_same_seed_draws_the_same_inputs() -> None:
    """A search can be repeated: what it feeds follows from its seed alone."""
    seeds = [b"a: 1\n", b"b: [2]\n"]

    def drawn(seed: int) -> list[bytes]:
        mutator = Mutator(seed, (b"x",))
        return [mutator.mutated(mutator.choose(seeds), seeds) for _ in range(200)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


Sign = Callable[[bytes], bytes]


def flipped(data: bytes, draws: random.Random) -> bytes:
    """The data with one bit of it changed."""
    at = draws.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << draws.randrange(8)]) + data[at + 1 :]


@pytest.mark.parametrize("path", TARGETS["signature"].corpus(), ids=lambda path: path.name)
def test_no_bit_of_what_is_signed_may_change(path: Path) -> None:
    """A signed message whose body has one bit changed is refused, in each scheme that signs the body."""
    data = path.read_bytes()
    head, _, body = data.partition(b"\n\n")
    if not path.name.startswith("signed-") or not body or head.startswith(b"shared-secret"):
        return
    draws = random.Random(1)
    feed = TARGETS["signature"].feed
    assert feed(data) == ACCEPTED
    assert {feed(head + b"\n\n" + flipped(body, draws)) for _ in range(50)} == {REFUSED}
