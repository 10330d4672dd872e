"""Removing accounts for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId
from flowrunner.errors import Conflict, NotFound, Unauthenticated, UnreadableRun
from flowrunner.ports.entities import Entity
from flowrunner.ports.history import RunFilter
from flowrunner.ports.runs import RunRow
from flowrunner.services import erasure as erasure_module
from flowrunner.services.accounts import ERASURE
from flowrunner.services.erasure import LATE, LEASE, PATIENCE, POLL, Erasure
from flowrunner.services.identity import Actor, Role
from flowrunner.services.installation import SYSTEM

from tests.services.people import PASSWORD, Server


class Place:
    """A server whose runs are cancelled by name."""

    def __init__(self) -> None:
        self.server = Server()
        self.cancelled: list[tuple[str, str]] = []
        self.refusals: list[Exception] = []
        self.erasure = self.another()

    def another(self) -> Erasure:
        """The same work in another process."""
        return Erasure(self.server.backend, self.server.members, self.cancel, self.server.clock)

    def cancel(self, account: AccountId, run: RunId) -> None:
        self.cancelled.append((account, run))
        if self.refusals:
            raise self.refusals.pop()

    def run(self, actor: Actor, id: str, status: str = "running") -> None:
        row = RunRow(
            account=actor.account,
            id=RunId(id),
            flow=FlowId("f"),
            revision=1,
            flow_name="flow",
            priority=1,
            created_at=self.server.clock.now(),
            body=b"",
            rev=1,
            status=status,
            head=b"",
        )
        self.server.backend.runs.create([row], [])

    def left(self, actor: Actor) -> int:
        """How many entities and runs the account still has."""
        now = self.server.clock.now()
        kinds = ("account", "user", "token", "session", "audit", "thing")
        entities = sum(len(self.server.entities.list(actor.account, kind, now, limit=10_000)) for kind in kinds)
        return entities + len(self.server.backend.history.runs(actor.account, RunFilter()))

    def notes(self) -> int:
        return len(self.server.entities.list(SYSTEM, ERASURE, self.server.clock.now()))


@pytest.fixture
def place() -> Place:
    return Place()


def test_everything_of_the_account_goes(place: Place) -> None:
    """At once when no run is live, after a last look the note too; the other account keeps all it has."""
    server = place.server
    olga, omar = server.owner("olga"), server.owner("omar")
    for actor in (olga, omar):
        server.user(actor, f"v.{actor.name}", Role.VIEWER)
        server.tokens.create(actor, "t", actor.permissions)
        server.sessions.login(actor.name, PASSWORD, "192.0.2.1")
        place.run(actor, f"r.{actor.name}", "completed")
    kept = place.left(omar)
    server.accounts.delete(olga, "olga's account")
    assert place.erasure.sweep() == server.clock.now() + LATE
    assert (place.left(olga), place.left(omar), place.notes()) == (0, kept, 1)
    server.later(LATE / 1000)
    assert place.erasure.sweep() is None
    assert (place.left(omar), place.notes()) == (kept, 0)
    assert place.cancelled == []
    server.basic("omar")
    server.owner("olga")


def test_without_a_note_nothing_happens(place: Place) -> None:
    """A round with nothing to do says that nothing is due."""
    owner = place.server.owner()
    assert place.erasure.sweep() is None
    place.server.basic("olga")
    assert place.left(owner) > 0


def test_live_runs_are_cancelled_first(place: Place) -> None:
    """They are not removed while they end, but nothing is left to start new ones; after a minute all goes."""
    server = place.server
    owner = server.owner()
    for id, status in (("a", "running"), ("b", "queued"), ("c", "failed"), ("d", "waiting")):
        place.run(owner, id, status)
    place.refusals = [NotFound(), Conflict(), UnreadableRun()]
    server.accounts.delete(owner, "olga's account")
    server.entities.put(Entity(owner.account, "thing", "schedule", b""), server.clock.now())
    assert place.erasure.sweep() == server.clock.now() + POLL
    assert {run for _, run in place.cancelled} == {"a", "b", "d"}
    assert place.left(owner) == 4, "the runs"
    assert not server.accounts.active(owner.account)
    assert place.erasure.sweep() == server.clock.now() + POLL
    assert len(place.cancelled) == 3, "not before its time"
    server.later(PATIENCE / 1000)
    place.erasure.sweep()
    assert place.left(owner) == 0


def test_what_was_written_late_goes_too(place: Place) -> None:
    """A worker that did not hear of it: the last look finds its writes."""
    server = place.server
    owner = server.owner()
    server.accounts.delete(owner, "olga's account")
    place.erasure.sweep()
    server.entities.put(Entity(owner.account, "thing", "late", b""), server.clock.now())
    place.run(owner, "late")
    server.later(LATE / 1000)
    assert place.erasure.sweep() is None
    assert (place.left(owner), place.notes()) == (0, 0)


def test_a_large_account_goes_in_rounds(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One round does not hold up the others; the next is due at once, first for what starts runs, then for the rest."""
    monkeypatch.setattr(erasure_module, "BATCH", 5)
    monkeypatch.setattr(erasure_module, "BATCHES", 2)
    server = place.server
    owner = server.owner()
    for index in range(20):
        server.entities.put(Entity(owner.account, "thing", f"{index}", b""), server.clock.now())
        place.run(owner, f"r{index}", "completed")
    server.accounts.delete(owner, "olga's account")
    left = [place.left(owner)]
    while place.erasure.sweep() == server.clock.now():
        left.append(place.left(owner))
        assert left[-1] < left[-2]
    assert len(left) >= 4
    assert place.left(owner) == 0


def test_a_last_look_is_not_taken_early(place: Place) -> None:
    """A note that comes up before its time, as after a crash, waits for the rest of it."""
    server = place.server
    server.accounts.delete(server.owner(), "olga's account")
    last = place.erasure.sweep()
    row = server.entities.list(SYSTEM, ERASURE, server.clock.now())[0]
    server.later(LEASE / 1000)
    server.entities.put(replace(row, due=server.clock.now()), server.clock.now())
    assert place.erasure.sweep() == last
    assert place.notes() == 1


def test_another_process_goes_on_after_a_crash(place: Place) -> None:
    """Whoever took the note and died loses it when the lease is over."""
    server = place.server
    owner = server.owner()
    server.accounts.delete(owner, "olga's account")

    class Killed(Exception):
        """The process died."""

    def die(account: AccountId) -> None:
        raise Killed

    place.erasure._shut = die  # type: ignore[method-assign]  # the process dies here
    with pytest.raises(Killed):
        place.erasure.sweep()
    other = place.another()
    assert other.sweep() == server.clock.now() + LEASE
    assert place.left(owner) > 0
    server.later(LEASE / 1000)
    other.sweep()
    assert place.left(owner) == 0


def test_a_note_without_a_mark_is_acted_on(place: Place) -> None:
    """The process that wrote the note may have died before it shut the account."""
    server = place.server
    owner = server.owner()
    place.run(owner, "a")
    server.accounts.note_erasure(owner.account)
    server.basic("olga")
    place.erasure.sweep()
    with pytest.raises(Unauthenticated):
        server.basic("olga")


class Stale:
    """Entities whose due index lags behind."""

    def __init__(self, server: Server) -> None:
        self._entities = server.entities
        self._rows = server.entities.due(ERASURE, server.clock.now(), 10)

    def __getattr__(self, name: str) -> object:
        return getattr(self._entities, name)

    def due(self, kind: str, until: Millis, limit: int) -> Sequence[Entity]:
        return self._rows


def test_two_processes_share_the_work(place: Place) -> None:
    """Of two that see the note at once, one has it; the other leaves it alone."""
    server = place.server
    owner = server.owner()
    place.run(owner, "a")
    server.accounts.delete(owner, "olga's account")
    place.erasure._entities = Stale(server)  # type: ignore[assignment]  # it passes on what it does not do
    place.another().sweep()
    assert place.erasure.sweep() == server.clock.now() + POLL
    assert len(place.cancelled) == 1


def test_deleting_twice_is_one_deletion(place: Place) -> None:
    """A second request at the same moment finds the first one's note."""
    server = place.server
    owner = server.owner()
    server.accounts.delete(owner, "olga's account")
    server.accounts.delete(owner, "olga's account")
    assert place.notes() == 1
