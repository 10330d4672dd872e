"""What goes wrong in a simulated world, and how often: all of it drawn from the seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace

from flowrunner.core.ids import Millis

Fate = str
"""What becomes of a call of a store.

- `dies before`, `dies after`: the process is gone, with the call made or not;
- `fails`: the store did nothing, and says so;
- `lost`: it was done, and no answer comes;
- `refused`: a conditional write loses a race that nobody else has run;
- `late`: the answer takes its time; `frozen`: so long that leases end.
"""

FATES: tuple[Fate, ...] = ("dies before", "dies after", "fails", "lost", "refused", "late", "frozen")


@dataclass(frozen=True)
class Weather:
    """Of 1,000 calls, how many meet which fate; and of 100 messages, how many what."""

    dies_before: int = 0
    dies_after: int = 0
    fails: int = 0
    lost: int = 0
    refused: int = 0
    late: int = 0
    frozen: int = 0
    dropped: int = 0
    """Received and lost, until the lease ends."""
    doubled: int = 0
    """Delivered once more, to anybody."""
    shuffled: int = 0
    unheard: int = 0
    """Hints that there is something to do, which do not arrive."""
    skew: Millis = 0
    """Clocks of processes differ by as much, either way."""
    faults: int = 60
    """Calls that may meet a fate; then the weather clears up, for the runs have to end."""
    acts: int = 30
    """Of 100 runs, how many are cancelled or redriven at any moment."""

    @property
    def calm(self) -> bool:
        return all(getattr(self, one.name) == 0 for one in fields(self) if one.name not in {"faults", "acts"})


CALM = Weather(acts=0)

MOODS = (
    CALM,
    Weather(late=20),
    Weather(dies_before=12, dies_after=12),
    Weather(fails=20, lost=20, refused=20, late=10),
    Weather(dropped=10, doubled=25, shuffled=50, unheard=40),
    Weather(frozen=8, skew=2_000, late=20),
    Weather(5, 5, 8, 8, 8, 8, 3, dropped=5, doubled=20, shuffled=30, unheard=20, skew=1_000),
    Weather(20, 20, 40, 40, 40, 10, 5, dropped=10, doubled=50, shuffled=50, unheard=50, skew=10_000, acts=60),
)


def weather_of(chance: random.Random) -> Weather:
    """That of a seed: rarely calm, sometimes one kind of trouble, mostly several."""
    mood = MOODS[chance.choices(range(len(MOODS)), (5, 5, 15, 15, 15, 10, 20, 15))[0]]
    return replace(mood, faults=chance.choice((5, 20, 60))) if not mood.calm else mood


class Sky:
    """Decides the fate of each call."""

    def __init__(self, weather: Weather, chance: random.Random) -> None:
        self.weather = weather
        self.left = weather.faults
        self.met: list[tuple[str, Fate]] = []
        self.clear = False
        """From now on nothing goes wrong any more."""
        self._chance = chance
        self._rates = [(fate, getattr(weather, fate.replace(" ", "_"))) for fate in FATES]
        self._total = sum(rate for _, rate in self._rates)

    def fate(self, name: str) -> Fate | None:
        """What becomes of a call."""
        if self.clear or not self._total or self.left <= 0:
            return None
        number = self._chance.randrange(1_000)
        if number >= self._total:
            return None
        for fate, rate in self._rates:
            if number < rate:
                self.left -= 1
                self.met.append((name, fate))
                return fate
            number -= rate
        return None

    def percent(self, rate: int) -> bool:
        """Whether one of `rate` in 100 messages is meant."""
        return bool(rate) and not self.clear and self.left > 0 and self._chance.randrange(100) < rate

    def draw(self, count: int) -> int:
        return self._chance.randrange(count)


class Planned(Sky):
    """A sky in which exactly the given calls meet a fate, by their number: for faults that are tried exhaustively."""

    def __init__(self, plan: dict[int, Fate], weather: Weather = CALM) -> None:
        super().__init__(weather, random.Random(0))
        self.plan = plan
        self.calls: list[str] = []

    def fate(self, name: str) -> Fate | None:
        self.calls.append(name)
        fate = self.plan.get(len(self.calls))
        if fate is not None:
            self.met.append((name, fate))
        return fate
