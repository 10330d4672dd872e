"""Inputs made of inputs: a few small changes to one that is kept, drawn from a seed and so the same each time."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.fuzz.target import LONGEST

ANY = (
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xc3\xa9",
        b"\xf0\x9f\x98\x80",
        b"\xed\xa0\x80",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\xef\xbb\xbf",
    ),
    *(
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"'",
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b"(",
        b")",
        b"${",
        b"$${",
        b"`",
        b"/*",
        b"//",
    ),
    *(b"0", b"-1", b"1e999", b"-0.0", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"NaN"),
    *(b"null", b"true", b"__proto__", b"constructor", b"%00", b"%0d%0a", b"../", b"\xe3\x80\x82", b"\xd9\xa0"),
)
"""What has broken readers of every kind."""


class Mutator:
    """Draws changes. `words` are those of the language, which get past the first look of a reader."""

    def __init__(self, seed: int, words: Sequence[bytes] = ()) -> None:
        self._draws = random.Random(seed)
        self._words = (*ANY, *words, *words, *words)

    def choose(self, inputs: Sequence[bytes]) -> bytes:
        """One of the inputs; of many, the later ones more often, since they were kept for something new."""
        count = len(inputs)
        return inputs[max(self._draws.randrange(count), self._draws.randrange(count))]

    def mutated(self, data: bytes, others: Sequence[bytes]) -> bytes:
        """The input with one to a dozen changes, mostly few."""
        changed = bytearray(data)
        for _ in range(1 + int(self._draws.expovariate(0.6)) % 12):
            self._change(changed, others)
        return bytes(changed[:LONGEST])

    def chance(self, of: int) -> bool:
        """True once in so many times."""
        return self._draws.randrange(of) == 0

    def _change(self, data: bytearray, others: Sequence[bytes]) -> None:
        draws, size = self._draws, len(data)
        at = draws.randrange(size + 1)
        end = min(size, at + 1 + int(draws.expovariate(0.15)))
        match draws.randrange(11):
            case 0 | 1:
                data[at:at] = draws.choice(self._words)
            case 2:
                data[at:end] = draws.choice(self._words)
            case 3:
                del data[at:end]
            case 4 if size:
                data[min(at, size - 1)] ^= 1 << draws.randrange(8)
            case 5:
                data[at:at] = bytes([draws.randrange(256)])
            case 6:
                data[at:at] = data[at:end]
            case 7:
                data[at:at] = data[at:end] * draws.choice((2, 3, 8, 40, 200))
                del data[LONGEST:]
            case 8:
                other = draws.choice(others)
                begin = draws.randrange(len(other) + 1)
                data[at:end] = other[begin : begin + 1 + int(draws.expovariate(0.05))]
            case 9:
                other = draws.choice(others)
                data[at:] = other[draws.randrange(len(other) + 1) :]
            case _:
                self._swap_lines(data)

    def _swap_lines(self, data: bytearray) -> None:
        lines = bytes(data).split(b"\n")
        one, two = self._draws.randrange(len(lines)), self._draws.randrange(len(lines))
        lines[one], lines[two] = lines[two], lines[one]
        data[:] = b"\n".join(lines)
