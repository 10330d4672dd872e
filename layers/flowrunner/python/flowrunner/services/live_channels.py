"""What is known of the runs that somebody watches: how far their events were told, and who is told.

A channel turns changes into frames and does nothing else: no store, no threads, no locks. The hub calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowrunner.core.ids import AccountId, RunId, StepId
from flowrunner.core.state import Phase, State
from flowrunner.engine.feed import ENDS, WHOLE, News, Placed, Position, end_event, place
from flowrunner.engine.records import Attempt
from flowrunner.engine.run_events import RunEvent, Told, attempt_events, run_event
from flowrunner.engine.watch import Change, Watchers
from flowrunner.ports.history import step_order
from flowrunner.services.live_frames import Frame, frame, frames

if TYPE_CHECKING:
    from flowrunner.services.live_readers import Subscription

RunKey = tuple[AccountId, RunId]


@dataclass(slots=True)
class UnderWay:
    """A step under way: how much of it was told, and the frames that no history has yet."""

    told: Told = field(default_factory=Told)
    frames: list[Frame] = field(default_factory=list)
    local: bool = False
    """It is executed in this process, which tells what it says."""


class RunChannel:
    """The events of one run from a revision on."""

    def __init__(self, news: News) -> None:
        self.account = news.row.account
        self.run = news.row.id
        self.rev = news.state.rev
        """All commits up to this one were told."""
        self.state = news.state
        self.ended = news.state.status.over
        self.members: list[Subscription] = []
        """Who is told from now on."""
        self.users = 0
        """Members, and those on their way to become one."""
        self.relayed = False
        """The account's channel passes the steps' events on."""
        self.fresh_at = 0.0
        """When this process itself last changed the run; monotonic seconds."""
        self.unwatch: Callable[[], None] = _nothing
        self._steps: dict[tuple[StepId, int], UnderWay] = {}
        for attempt in news.under_way:
            self._tell(attempt)

    def commit(self, change: Change) -> list[Frame] | None:
        """The new frames of a commit; None when one before it is missing, which has to be read from the store."""
        if change.state.rev <= self.rev:
            return []
        if change.view.row.rev != self.rev:
            return None
        frames = self._take([one for one in change.attempts if one.rev], change.state)
        if change.ended:
            event = run_event(self.run, ENDS[change.state.status], change.at, change.state.attempt, change.state.error)
            frames.append(self._end(event))
        return frames

    def catch_up(self, news: News) -> list[Frame]:
        """The new frames of what was read from the store, with all commits since `rev`."""
        frames: list[Frame] = []
        moved = news.state.rev > self.rev
        if moved:
            frames += self._take(news.committed, news.state)
        for attempt in news.under_way:
            frames += self._tell(attempt)
        if moved and news.state.status.over:  # nothing is told behind the end, though a step be under way yet
            frames.append(self._end(end_event(news.row, news.state)))
        return frames

    def speak(self, attempt: Attempt) -> list[Frame]:
        """The new frames of a step that this process executes."""
        if self.ended:
            return []
        frames = self._tell(attempt)
        self._steps.setdefault((attempt.step, attempt.attempt), UnderWay()).local = True
        return frames

    def open_frames(self) -> list[Frame]:
        """What was told of steps under way, for who joins now."""
        return [frame for step in self._steps.values() for frame in step.frames]

    @property
    def foreign(self) -> bool:
        """Whether a step may be under way in another process."""
        return any(
            entry.phase is Phase.READY and not ((step := self._steps.get((name, entry.attempt))) and step.local)
            for name, entry in self.state.frontier.items()
        )

    def _take(self, attempts: Iterable[Attempt], state: State) -> list[Frame]:
        """Attempts that commits took, in the order of the history."""
        found: list[Frame] = []
        by_rev: dict[int, list[RunEvent]] = {}
        for attempt in sorted(attempts, key=lambda one: (one.rev, *step_order(one.step), one.attempt)):
            key = (attempt.step, attempt.attempt)
            step = self._steps.setdefault(key, UnderWay())
            by_rev.setdefault(attempt.rev, []).extend(attempt_events(self.run, attempt, step.told))
            step.frames = []  # the history has them now
        for rev, events in by_rev.items():
            found += frames(place(rev, events))
        self.rev, self.state = state.rev, state
        live = {(step, entry.attempt) for step, entry in state.frontier.items()}
        self._steps = {key: step for key, step in self._steps.items() if key in live}
        return found

    def _tell(self, attempt: Attempt) -> list[Frame]:
        """The news of a step under way. They stand behind all that was committed; of one that waits there are none."""
        if attempt.rev > self.rev:
            return []  # a commit has taken it that is still to be told, and all of it with that
        step = self._steps.setdefault((attempt.step, attempt.attempt), UnderWay())
        new = [
            frame(Placed(Position(self.rev, WHOLE, event.id), event))
            for event in attempt_events(self.run, attempt, step.told)
        ]
        if attempt.rev:
            return []
        step.frames += new
        return new

    def _end(self, event: RunEvent) -> Frame:
        self.ended = True
        return frame(Placed(Position(self.rev, WHOLE, event.id), event))


class Channels:
    """The runs that are watched in this process; one is heard of as long as it is here."""

    def __init__(self, watchers: Watchers, hear: Callable[[Change], None]) -> None:
        self._watchers = watchers
        self._hear = hear
        self._channels: dict[RunKey, RunChannel] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def get(self, key: RunKey) -> RunChannel | None:
        return self._channels.get(key)

    def all(self) -> list[RunChannel]:
        return list(self._channels.values())

    def add(self, channel: RunChannel) -> None:
        self._channels[channel.account, channel.run] = channel
        channel.unwatch = self._watchers.watch(channel.run, self._hear)

    def release(self, channel: RunChannel) -> None:
        """One user less; the last one takes the channel along."""
        channel.users -= 1
        if not channel.users:
            self.remove(channel)

    def remove(self, channel: RunChannel) -> None:
        """Hear no more of a run; safe to repeat."""
        key = (channel.account, channel.run)
        if self._channels.get(key) is channel:
            del self._channels[key]
        channel.unwatch()


def _nothing() -> None:
    """Nothing is watched yet."""
