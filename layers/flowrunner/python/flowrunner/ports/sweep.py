"""The minute's round of a store whose queue may lose messages, or cannot wait as long as a step does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.ids import Millis


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has done.

    `forwarded` messages were brought to where they can be received. `resent` ones were sent again, for runs that had
    not moved since something was due; `stuck` runs are those that have not for a quarter of an hour or longer.
    """

    forwarded: int = 0
    resent: int = 0
    stuck: int = 0


class Sweeps(Protocol):
    """A store that wants to be swept once a minute."""

    def sweep(self, now: Millis) -> Swept:
        """Do it. Whoever is there does it, also several at once; one that is missed is made up for by the next."""
        ...
