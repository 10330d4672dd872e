"""What is fuzzed: a door of the product that strangers' bytes come in through, and what must hold behind it.

`feed` takes any bytes. It answers `ACCEPTED` or `REFUSED` (one of the errors that the door promises); anything else that
is raised, an assertion of ours or an error that nobody expects, is a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ACCEPTED, REFUSED = "accepted", "refused"

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 16 * 1024
"""Bytes of an input. What takes more is about limits, which tests with names are about."""


@dataclass(frozen=True, slots=True)
class Target:
    """A door with the words that its language knows; `pace` is how many inputs of it one of the quickest is worth."""

    name: str
    feed: Callable[[bytes], str]
    words: tuple[bytes, ...] = ()
    pace: int = 1

    def corpus(self, folder: Path = CORPUS) -> list[Path]:
        """The inputs that are kept of it: seeds, what reached something new, and all that ever failed."""
        return sorted(path for path in (folder / self.name).glob("*") if path.is_file())


def words(text: str, *others: bytes) -> tuple[bytes, ...]:
    """Words of a language, written with blanks between them, and others that have blanks in them."""
    return (*(word.encode() for word in text.split()), *others)


def told(condition: object, what: str) -> None:
    """Raise what must hold and does not."""
    if not condition:
        raise AssertionError(what)
